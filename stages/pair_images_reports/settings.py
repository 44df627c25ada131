"""Settings of pair_images_reports."""

from pydantic import Field

from stages.common.patient_split import PatientSplit
from stages.common.settings import Settings


class PairImagesReportsSettings(Settings):
    """The block `pair_images_reports` of config.yaml."""

    patient_split: PatientSplit = Field(
        default_factory=PatientSplit, description="shares of patients for validation and test, and the seed"
    )

"""Settings of pair_images_reports."""

from typing import Literal

from pydantic import Field

from ..common.data.patient_split import PatientSplit
from ..common.settings import Settings

ImagesPerStudy = Literal["all", "one"]


class PairImagesReportsSettings(Settings):
    """The block `pair_images_reports` of config.yaml."""

    patient_split: PatientSplit = Field(
        default_factory=PatientSplit, description="shares of patients for validation and test, and the seed"
    )
    images_per_study: ImagesPerStudy = Field(
        "all",
        description="all: one pair an image, of which pre-training draws one a study anew in every epoch; one: of a "
        "study the PA view before AP before any other, then the most original pixels, then the smallest image_id",
    )
    intensity_images: int = Field(
        20_000, ge=1, description="training images whose grey values are counted; of more, as many are drawn by seed"
    )
    publish_samples: bool = Field(
        False, description="write the text of the most frequent sentences into the fingerprint, for the report"
    )

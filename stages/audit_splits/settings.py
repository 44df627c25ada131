"""Settings of audit_splits."""

from pydantic import Field

from stages.common.settings import Settings


class AuditSplitsSettings(Settings):
    allow_overlap: bool = Field(
        False, description="measure although test images are no strangers to training; every result says how many"
    )
    same_patients: bool = Field(
        False, description="one patient id means one person in this data set and in `pretrain_on` (e.g. both from NIH)"
    )

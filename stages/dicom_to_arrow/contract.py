"""Settings of dicom_to_arrow."""

from pydantic import Field

from ..common.radiographs.settings import RadiographSettings


class DicomToArrowSettings(RadiographSettings):
    """Which images go in, how large they come out, what one file may cost, and whether checksums are verified."""

    verify_checksums: bool = Field(
        True, description="check the sha256 of every file that the distribution publishes one of (about 1 GB/s a core)"
    )

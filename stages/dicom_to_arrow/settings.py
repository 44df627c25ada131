"""Settings of dicom_to_arrow: which images go in, and how large they come out."""

from typing import Literal

from pydantic import Field

from stages.common.settings import Settings


class DicomToArrowSettings(Settings):
    size: int = Field(256, ge=16, le=4096, description="side of the square image, pixels; 512 for segmentation")
    modalities: tuple[str, ...] = Field(
        ("CR", "DX"), description="Modality (0008,0060) that a DICOM file may have; empty: any"
    )
    views: tuple[str, ...] = Field(
        ("PA", "AP"), description="views that go in, from the index, else from the header; empty: any"
    )
    views_missing: Literal["accept", "reject"] = Field(
        "accept",
        description="a file without a view in index and header: accept it unless PatientOrientation says lateral",
    )
    body_parts: tuple[str, ...] = Field(
        (), description="BodyPartExamined (0018,0015) that a DICOM file may have; empty: any"
    )
    max_pixels: int = Field(
        50_000_000, ge=1, description="rows x columns; the largest radiography plates have 20,000,000 pixels"
    )
    max_file_bytes: int = Field(
        512 * 2**20, ge=1, description="bytes of a file, and of its data set once inflated (deflated transfer syntax)"
    )
    max_seconds: float = Field(30.0, gt=0, description="s for one file; a full JPEG 2000 plate takes about 1.5 s")

"""Settings for reading a radiograph: which files are accepted, how large the images become, what one may cost."""

from typing import Literal

from pydantic import Field

from ..settings import Settings


class RadiographSettings(Settings):
    """Settings for reading one radiograph."""

    size: int = Field(256, ge=16, le=4096, description="side of the square image, pixels; 512 for segmentation")
    modalities: tuple[str, ...] = Field(
        ("CR", "DX"), description="Modality (0008,0060) that a DICOM file may have; empty: any"
    )
    sop_classes: tuple[str, ...] = Field(
        ("ComputedRadiographyImageStorage", "DigitalXRayImageStorageForPresentation", "SecondaryCaptureImageStorage"),
        description="SOPClassUID (0008,0016) that a DICOM file may have, by PS3.6's keywords; a file without one is "
        "accepted; empty: any. Images 'for processing' are raw detector values, not meant for display",
    )
    views: tuple[str, ...] = Field(
        ("PA", "AP"), description="accepted views, from the index, else from the header; empty: any"
    )
    views_missing: Literal["accept", "reject"] = Field(
        "accept",
        description="a file without a view. It is looked for in the index, ViewPosition, ViewCodeSequence, "
        "PatientOrientation (lateral: rows run to anterior or posterior), then in SeriesDescription and ProtocolName "
        "where they name just one of PA, AP, LATERAL",
    )
    body_parts: tuple[str, ...] = Field(
        (), description="BodyPartExamined (0018,0015) that a DICOM file may have; empty: any"
    )
    burned_in: Literal["accept", "reject"] = Field(
        "reject",
        description="files whose BurnedInAnnotation (0028,0301) or RecognizableVisualFeatures (0028,0302) is YES: "
        "their pixels may identify the patient",
    )
    jpeg2000_reduce: int = Field(
        0,
        ge=0,
        le=1,  # Pillow refuses some sizes at 2
        description="wavelet levels of JPEG 2000 that are left out, where the image stays larger than `size` and the "
        "file states a linear window; 1 is about 3.5 times as fast, with the error that benchmarks/dicom_to_arrow.py "
        "reports, which includes a shift by half a pixel of the original; 0: decode all",
    )
    max_pixels: int = Field(
        50_000_000,
        ge=1,
        description="rows x columns x samples per pixel; the largest radiography plates have 20,000,000 pixels",
    )
    max_file_bytes: int = Field(
        512 * 2**20, ge=1, description="bytes of a file, and of its data set once inflated (deflated transfer syntax)"
    )
    max_seconds: float = Field(30.0, gt=0, description="s for one file; a full JPEG 2000 plate takes about 1.5 s")
    max_memory_bytes: int = Field(
        1_000_000_000, ge=300_000_000, description="resident memory of the process that decodes, bytes; on Linux only"
    )

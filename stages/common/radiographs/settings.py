"""Settings for reading a radiograph: which files are accepted, how large the images become, what one may cost."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from ..settings import Settings
from .views import VIEWS, accepted_views

Size = Annotated[int, Field(ge=16, le=4096)]


class RadiographSettings(Settings):
    """Settings for reading one radiograph."""

    size: Size = Field(256, description="side of the square image, pixels; 512 for segmentation")
    modalities: tuple[str, ...] = Field(("CR", "DX"), description="accepted values of Modality (0008,0060); empty: any")
    modality_missing: Literal["accept", "reject"] = Field(
        "reject",
        description="what to do with a DICOM file without Modality, as some de-identification leaves it (VinDr-CXR); "
        "its SOPClassUID counts where it has one",
    )
    sop_classes: tuple[str, ...] = Field(
        ("ComputedRadiographyImageStorage", "DigitalXRayImageStorageForPresentation", "SecondaryCaptureImageStorage"),
        description="accepted values of SOPClassUID (0008,0016), as keywords of PS3.6; a file without it is "
        "accepted; empty: any. Images 'for processing' are raw detector values, not meant for display",
    )
    views: tuple[str, ...] = Field(
        ("PA", "AP"),
        description=f"accepted views, of {', '.join(VIEWS)}, from the index, else from the header; empty: any. Texts "
        "such as `AP SUPINE`, `PA_erect` or `LL` are read as the view that they name. FRONTAL is PA or AP, and is "
        "accepted where both are",
    )
    views_missing: Literal["auto", "accept", "reject"] = Field(
        "auto",
        description="what to do with a file without a view. auto: reject it (`unknown_view`) if the index names the "
        "view of any other file of the data set, else accept it; accepted ones are counted. The view is sought in the "
        "index, ViewPosition, ViewCodeSequence, PatientOrientation (lateral: rows run to anterior or posterior), then "
        "in SeriesDescription and ProtocolName if they name exactly one view",
    )
    body_parts: tuple[str, ...] = Field((), description="accepted values of BodyPartExamined (0018,0015); empty: any")
    burned_in: Literal["accept", "reject"] = Field(
        "reject",
        description="what to do with files whose BurnedInAnnotation (0028,0301) or RecognizableVisualFeatures "
        "(0028,0302) is YES: their pixels may identify the patient",
    )
    jpeg2000_reduce: int = Field(
        0,
        ge=0,
        le=1,  # Pillow refuses some sizes at 2
        description="wavelet levels of JPEG 2000 to skip, if the image stays larger than `size` and the "
        "file has a linear window; 0: decode all. 1 is about 3.5 times as fast and shifts the image by half a pixel "
        "of the original (errors: docs/benchmarks/preprocessing.md)",
    )
    min_side: int = Field(
        1, ge=1, description="smallest number of rows and of columns; a smaller image, such as a thumbnail, is rejected"
    )
    max_pixels: int = Field(
        50_000_000,
        ge=1,
        description="limit of rows x columns x samples per pixel; the largest radiography plates have "
        "20,000,000 pixels",
    )
    max_file_bytes: int = Field(
        512 * 2**20,
        ge=1,
        description="limit of the bytes of a file, and of its data set after inflation (deflated transfer syntax)",
    )
    max_seconds: float = Field(
        30.0,
        gt=0,
        description="limit in seconds of processor time per file; a full JPEG 2000 plate takes about 1.5 s. By the "
        "clock the limit is 20 times as long, so that a busy machine rejects nothing",
    )
    max_memory_bytes: int = Field(
        1_000_000_000, ge=300_000_000, description="limit of the decoding process's resident memory, bytes; Linux only"
    )

    @field_validator("views")
    @classmethod
    def _views_are_known(cls, views: tuple[str, ...]) -> tuple[str, ...]:
        accepted_views(views)
        return views

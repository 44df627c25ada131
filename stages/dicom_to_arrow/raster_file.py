"""A JPEG or PNG file (MIMIC-CXR-JPG, one's own folder) to a Radiograph: its grey levels are ready for display.

8-bit files are taken as they are (`window`: none); 16-bit PNGs have no window, so their range becomes black to white.
MIMIC-CXR-JPG's pixels were histogram-equalised by its makers; the data set's name in each row says so.
"""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from stages.dicom_to_arrow.codestreams import read_jpeg
from stages.dicom_to_arrow.colour import luma
from stages.dicom_to_arrow.display import Display, Rescale, to_grey
from stages.dicom_to_arrow.radiograph import Radiograph
from stages.dicom_to_arrow.rejection import RejectionError
from stages.dicom_to_arrow.selection import check_view, view_of
from stages.dicom_to_arrow.settings import DicomToArrowSettings

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_GREY_8, _GREY_16 = {"1", "L"}, {"I", "I;16", "I;16B", "I;16L"}


def is_raster(data: bytes) -> bool:
    return data.startswith((_JPEG, _PNG))


def read_raster(data: bytes, index_view: str | None, settings: DicomToArrowSettings) -> Radiograph:
    """The image of a JPEG or PNG file, upright by its EXIF orientation. Raises RejectionError."""
    view = view_of(index_view, None)
    check_view(view, settings)
    if data.startswith(_JPEG) and not read_jpeg(data).complete:
        raise RejectionError("truncated_frame", "the JPEG ends before its end marker")
    try:
        return _read(data, view, settings.max_pixels)
    except Image.DecompressionBombError:
        raise RejectionError("too_large", f"max_pixels is {settings.max_pixels}") from None
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:  # what Pillow raises on damage
        raise RejectionError("decode_failed", f"{type(error).__name__} while decoding JPEG or PNG") from None


def _read(data: bytes, view: str | None, max_pixels: int) -> Radiograph:
    with Image.open(BytesIO(data), formats=("JPEG", "PNG")) as image:
        if image.width * image.height > max_pixels:
            raise RejectionError("too_large", f"{image.height} x {image.width} pixels, max_pixels is {max_pixels}")
        if getattr(image, "n_frames", 1) > 1:
            raise RejectionError("multi_frame", f"{image.n_frames} frames")
        image.load()
        upright = ImageOps.exif_transpose(image)
    if upright.mode in _GREY_16:
        stored = np.asarray(upright).astype(np.int32)
        display = Display(Rescale(), None, inverted=False)
        return Radiograph(to_grey(stored, None, display), view, "MONOCHROME2", display.window, None, None)
    if upright.mode in _GREY_8:
        grey, photometric = np.asarray(upright.convert("L")).astype(np.float32), "MONOCHROME2"
    else:
        grey, photometric = luma(np.asarray(_opaque(upright))), "RGB"
    if np.ptp(grey) == 0:
        raise RejectionError("constant_image", "every pixel has the same value")
    return Radiograph(grey, view, photometric, "none", None, None)


def _opaque(image: Image.Image) -> Image.Image:
    """RGB; what is transparent shows the black that surrounds every image here."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    coloured = image.convert("RGBA")
    black = Image.new("RGBA", coloured.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, coloured).convert("RGB")

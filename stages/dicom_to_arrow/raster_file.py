"""A JPEG or PNG file (MIMIC-CXR-JPG, one's own folder) to a Radiograph: its grey levels are ready for display.

8-bit files are taken as they are (`window`: none); 16-bit PNGs have no window, so their range becomes black to white.
MIMIC-CXR-JPG's pixels were histogram-equalised by its makers; the data set's name in each row says so.
"""

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageOps

from stages.dicom_to_arrow.codec_warnings import refusing_what_codecs_warn_of
from stages.dicom_to_arrow.codestreams import read_jpeg
from stages.dicom_to_arrow.colour import luma
from stages.dicom_to_arrow.display import WHITE, Display, Levels, Rescale, to_levels
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
    pixels = _jpeg_pixels(data, settings) if data.startswith(_JPEG) else _png_pixels(data, settings)
    if pixels.ndim == 3:
        levels, photometric, window = Levels(luma(pixels), 0.0, WHITE), "RGB", "none"
    elif pixels.dtype == np.uint8:
        levels, photometric, window = Levels(pixels, 0.0, WHITE), "MONOCHROME2", "none"
    else:
        display = Display(Rescale(), None, inverted=False)
        levels, photometric, window = to_levels(pixels, None, display), "MONOCHROME2", display.window
    if np.ptp(levels.values) == 0:
        raise RejectionError("constant_image", "every pixel has the same value")
    return Radiograph(levels, pixels.shape[:2], view, photometric, window, None, None)


def _check_pixels(rows: int, columns: int, samples: int, frames: int, settings: DicomToArrowSettings) -> None:
    if rows * columns * samples > settings.max_pixels:
        message = f"{rows} x {columns} x {samples} samples, max_pixels is {settings.max_pixels}"
        raise RejectionError("too_large", message)
    if frames > 1:
        raise RejectionError("multi_frame", f"{frames} images in one file")


def _jpeg_pixels(
    data: bytes, settings: DicomToArrowSettings
) -> UInt8[np.ndarray, "rows columns"] | UInt8[np.ndarray, "rows columns 3"]:
    """Grey or RGB. OpenCV, because it lets libjpeg's warnings of damage be heard, as Pillow does not."""
    header = read_jpeg(data)
    if not header.complete:
        raise RejectionError("truncated_frame", "the JPEG ends before its end marker")
    if header.components not in (1, 3):  # CMYK is for printers, and its polarity a matter of taste
        raise RejectionError("photometric_unsupported", f"a JPEG of {header.components} components")
    _check_pixels(header.rows, header.columns, header.components, header.images, settings)
    with refusing_what_codecs_warn_of():
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_ANYCOLOR)  # turned by EXIF
    if pixels is None:
        raise RejectionError("decode_failed", "the JPEG cannot be decoded")
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels  # blue, green, red -> red, green, blue


def _png_pixels(
    data: bytes, settings: DicomToArrowSettings
) -> Integer[np.ndarray, "rows columns"] | UInt8[np.ndarray, "rows columns 3"]:
    """Grey of 8 or 16 bits, or RGB. Pillow, because it checks the checksum of every chunk."""
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            _check_pixels(image.height, image.width, len(image.getbands()), image.n_frames, settings)
            image.load()
            upright = ImageOps.exif_transpose(image)
    except Image.DecompressionBombError:
        raise RejectionError("too_large", f"max_pixels is {settings.max_pixels}") from None
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error) as error:  # what Pillow raises on damage
        raise RejectionError("decode_failed", f"{type(error).__name__} while decoding PNG") from None
    if upright.mode in _GREY_16:
        return np.asarray(upright).astype(np.uint16)
    return np.asarray(upright.convert("L") if upright.mode in _GREY_8 else _opaque(upright))


def _opaque(image: Image.Image) -> Image.Image:
    """RGB; what is transparent shows the black that surrounds every image here."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    coloured = image.convert("RGBA")
    black = Image.new("RGBA", coloured.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, coloured).convert("RGB")

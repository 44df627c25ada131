"""Readers of radiographs from DICOM, JPEG and PNG files.

dicom_to_arrow and the exported model read images by `read_radiograph`. A DICOM file is parsed, selected, cross-checked,
decoded and sent through the display chain that its elements ask for. The grey levels of a JPEG or PNG file
(MIMIC-CXR-JPG, your own folder) are ready for display: 8-bit files are taken as they are (`window`: none), and the
range of 16-bit PNGs, grey or in colour, which have no window, becomes black to white. MIMIC-CXR-JPG's pixels were
histogram-equalised by its makers; the data set's name in each row says so.
"""

import re
import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
from jaxtyping import Float32, Integer, UInt8, UInt16
from PIL import Image, ImageOps
from pydicom import Dataset

from .attributes import Sex, dicom_age, dicom_sex
from .codestreams import read_jpeg, refusing_what_codecs_warn_of
from .decoding import Decoded, decode
from .display import WHITE, Display, Levels, LookupTable, Rescale, Stored, Window, to_levels
from .parsing import is_dicom, numbers, parse, text
from .pixel_format import (
    GREY,
    PixelFormat,
    check_size,
    read_display,
    read_palette,
    read_pixel_format,
    stored_values,
)
from .png_files import PNG_START, decode_deep_colours, read_png_header
from .radiograph import Radiograph, luma
from .rejection import RejectionError
from .selection import (
    check_body_part,
    check_burned_in,
    check_modality,
    check_sop_class,
    check_view,
    view_of,
)
from .settings import RadiographSettings

__all__ = ["is_dicom", "read_dicom", "read_spacing"]

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")  # mm; row spacing first (10.7.1.3)
_LARGEST_ASPECT = 10  # no detector has such pixels: one of the two numbers is wrong, and nobody knows which


def read_dicom(data: bytes, index_view: str | None, settings: RadiographSettings) -> Radiograph:
    """Read the image of a DICOM file for display. Raises RejectionError."""
    file = parse(data, settings.max_file_bytes)
    dataset = file.dataset
    if file.truncated or (file.headless and settings.modalities):
        raise RejectionError("truncated_header", "the file ends within its header; download it again")
    check_modality(dataset, settings)
    check_sop_class(dataset, settings)
    if not file.pixels:
        raise RejectionError("no_pixel_data", "PixelData is missing or empty")
    view = view_of(index_view, dataset)
    check_view(view, settings)
    check_body_part(dataset, settings)
    check_burned_in(dataset, settings)
    pixel_format = read_pixel_format(dataset, settings)
    display = read_display(dataset, pixel_format) if pixel_format.photometric in GREY else None
    decoded = decode(file, pixel_format, _reduction(display, pixel_format, settings))
    if display is not None:
        levels, window = to_levels(stored_values(decoded.words, pixel_format), display), display.window
    else:  # the Modality and VOI LUTs apply to grey images only
        levels, window = Levels(_grey_of_colours(dataset, pixel_format, decoded), 0.0, WHITE), "none"
    row_spacing, column_spacing, aspect = read_spacing(dataset)
    shape = pixel_format.rows, pixel_format.columns
    uid, sex, age = _instance_uid(dataset), *_patient(dataset)
    return Radiograph(
        levels, shape, view, pixel_format.photometric, window, row_spacing, column_spacing, aspect, uid, sex, age
    )


def _patient(dataset: Dataset) -> tuple[Sex | None, float | None]:
    """Return sex and age of the patient, None where the header does not state them in the standard's terms."""
    found = []
    for keyword in ("PatientSex", "PatientAge"):
        try:
            found.append(text(dataset, keyword))
        except RejectionError:  # what cannot be parsed here says nothing of the picture
            found.append("")
    return dicom_sex(found[0]), dicom_age(found[1])


def _instance_uid(dataset: Dataset) -> str | None:
    uid = text(dataset, "SOPInstanceUID")
    return uid if re.fullmatch(r"[0-9.]{1,64}", uid) else None  # PS3.5 9.1; else it may be a name in the wrong place


def _reduction(display: Display | None, pixel_format: PixelFormat, settings: RadiographSettings) -> int:
    """Return how many wavelet levels of JPEG 2000 need not be decoded.

    Means of pixels replace the pixels. So the chain must be linear and stated by the file, since the range of means is
    smaller than that of pixels; nothing may be padding; and the square must not need more pixels.
    """
    linear = (
        display is not None
        and isinstance(display.modality, Rescale)
        and isinstance(display.voi, Window)
        and display.voi.function != "SIGMOID"
    )
    if not linear or pixel_format.padding or pixel_format.overlays or pixel_format.signed:
        return 0
    longest = max(pixel_format.rows, pixel_format.columns)
    return min(settings.jpeg2000_reduce, max(0, (longest // settings.size).bit_length() - 1))


def _grey_of_colours(
    dataset: Dataset, pixel_format: PixelFormat, decoded: Decoded
) -> Float32[np.ndarray, "rows columns"]:
    """Return the luma (BT.601) of a colour image, 0 to 255.

    It is the Y of YBR, or the weighted sum of RGB or of a palette's colours.
    """
    words, bits = decoded.words, pixel_format.bits_stored
    if pixel_format.photometric == "PALETTE COLOR":
        return _grey_of_palette(read_palette(dataset, pixel_format.signed), stored_values(words, pixel_format).values)
    if words.dtype.itemsize > 2 or words.dtype.kind != "u":
        raise RejectionError("bits_inconsistent", f"colour of {8 * words.dtype.itemsize} bits or signed")
    if int(words.max()) >= 2**bits:
        raise RejectionError("bits_inconsistent", f"values above BitsStored {bits}")
    is_ybr = decoded.photometric.startswith("YBR")
    y_plane = words[..., 0] if is_ybr and words.ndim == 3 else words
    grey = y_plane.astype(np.float32, order="C") if is_ybr else luma(words)
    return _scaled(grey, 2**bits - 1)


def _grey_of_palette(
    palette: tuple[LookupTable, ...], stored: Integer[np.ndarray, "rows columns"]
) -> Float32[np.ndarray, "rows columns"]:
    """Return the palette's luma of every stored value; values outside it take its ends (C.7.6.3.1.5)."""
    table = luma(np.stack([colour.entries for colour in palette], axis=-1)[np.newaxis])[0]
    index = np.clip(stored.astype(np.int32), palette[0].first, palette[0].first + len(table) - 1) - palette[0].first
    return _scaled(table[index], 2 ** palette[0].bits - 1)


def _scaled(grey: Float32[np.ndarray, "rows columns"], white: int) -> Float32[np.ndarray, "rows columns"]:
    if np.ptp(grey) == 0:
        raise RejectionError("constant_image", "every pixel has the same value")
    return grey * np.float32(WHITE / white)


def read_spacing(dataset: Dataset) -> tuple[float | None, float | None, float]:
    """Return row spacing, column spacing (mm, or None) and a pixel's height divided by its width.

    PixelSpacing is the best of the three where several are present (10.7.1.3). PixelAspectRatio (C.7.6.3.1.7: vertical,
    horizontal) counts where there is no spacing.
    """
    for keyword in _SPACINGS:
        spacing = numbers(dataset, keyword)
        if len(spacing) == 2 and min(spacing) > 0:
            return spacing[0], spacing[1], _aspect(spacing[0], spacing[1], keyword)
    ratio = numbers(dataset, "PixelAspectRatio")
    if len(ratio) == 2 and min(ratio) > 0:
        return None, None, _aspect(ratio[0], ratio[1], "PixelAspectRatio")
    return None, None, 1.0


def _aspect(height: float, width: float, keyword: str) -> float:
    aspect = height / width
    if not 1 / _LARGEST_ASPECT <= aspect <= _LARGEST_ASPECT:
        raise RejectionError("invalid_element", f"{keyword}: one side of a pixel is over {_LARGEST_ASPECT} x the other")
    return aspect


_JPEG = b"\xff\xd8\xff"
_GREY_8, _GREY_16 = {"1", "L"}, {"I", "I;16", "I;16B", "I;16L"}


def is_raster(data: bytes) -> bool:
    """Return whether the bytes are a JPEG or PNG file."""
    return data.startswith((_JPEG, PNG_START))


def read_raster(data: bytes, index_view: str | None, settings: RadiographSettings) -> Radiograph:
    """Read the image of a JPEG or PNG file, turned upright by its EXIF orientation. Raises RejectionError."""
    view = view_of(index_view, None)
    check_view(view, settings)
    pixels = _jpeg_pixels(data, settings) if data.startswith(_JPEG) else _png_pixels(data, settings)
    if pixels.ndim == 3 and pixels.dtype == np.uint8:
        levels, photometric, window = Levels(luma(pixels), 0.0, WHITE), "RGB", "none"
    elif pixels.ndim == 3:
        levels, photometric, window = _levels_of_deep_colours(pixels), "RGB", "minmax"
    elif pixels.dtype == np.uint8:
        levels, photometric, window = Levels(pixels, 0.0, WHITE), "MONOCHROME2", "none"
    else:
        display = Display(Rescale(), None, inverted=False)
        levels, photometric, window = to_levels(Stored.of(pixels), display), "MONOCHROME2", display.window
    if np.ptp(levels.values) == 0:
        raise RejectionError("constant_image", "every pixel has the same value")
    return Radiograph(levels, pixels.shape[:2], view, photometric, window, None, None)


def _levels_of_deep_colours(pixels: UInt16[np.ndarray, "rows columns samples"]) -> Levels:
    """Return the luma of 16-bit colours over its range: like grey of 16 bits, they may hold values of 12.

    Transparent pixels show the black that surrounds every image here.
    """
    grey = luma(pixels[..., :3])
    if pixels.shape[-1] == 4:
        grey *= pixels[..., 3] * np.float32(1 / 65535)
    return Levels(grey, float(grey.min()), float(grey.max()))


def _check_pixels(rows: int, columns: int, samples: int, frames: int, settings: RadiographSettings) -> None:
    check_size(rows, columns, samples, settings)
    if frames > 1:
        raise RejectionError("multi_frame", f"{frames} images in one file")


def _jpeg_pixels(
    data: bytes, settings: RadiographSettings
) -> UInt8[np.ndarray, "rows columns"] | UInt8[np.ndarray, "rows columns 3"]:
    """Return grey or RGB pixels; OpenCV decodes, because it lets libjpeg's warnings be captured, unlike Pillow."""
    header = read_jpeg(data)
    if not header.complete:
        raise RejectionError("truncated_frame", "the JPEG ends before its end marker")
    if header.components not in (1, 3):  # CMYK is for printers, and its polarity is ambiguous
        raise RejectionError("photometric_unsupported", f"a JPEG of {header.components} components")
    _check_pixels(header.rows, header.columns, header.components, header.images, settings)
    with refusing_what_codecs_warn_of():
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_ANYCOLOR)  # turned by EXIF
    if pixels is None:
        raise RejectionError("decode_failed", "the JPEG cannot be decoded")
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels  # blue, green, red -> red, green, blue


def _png_pixels(
    data: bytes, settings: RadiographSettings
) -> Integer[np.ndarray, "rows columns"] | Integer[np.ndarray, "rows columns samples"]:
    """Return grey pixels of 8 or 16 bits, RGB, or 16 bits of RGB or RGBA. Pillow decodes all but the last."""
    header = read_png_header(data)
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            _check_pixels(image.height, image.width, len(image.getbands()), getattr(image, "n_frames", 1), settings)
            image.load()
            if header.has_deep_colours:
                return decode_deep_colours(data, image)
            upright = ImageOps.exif_transpose(image)
    except Image.DecompressionBombError:
        raise RejectionError("too_large", f"max_pixels is {settings.max_pixels}") from None
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error) as error:  # what Pillow raises on damage
        raise RejectionError("decode_failed", f"{type(error).__name__} while decoding PNG") from None
    if upright.mode in _GREY_16:
        return np.asarray(upright).astype(np.uint16)
    return np.asarray(upright.convert("L") if upright.mode in _GREY_8 else _opaque(upright))


def _opaque(image: Image.Image) -> Image.Image:
    """Convert to RGB; transparent pixels show the black that surrounds every image here."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    coloured = image.convert("RGBA")
    black = Image.new("RGBA", coloured.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, coloured).convert("RGB")


def read_radiograph(data: bytes, index_view: str | None, settings: RadiographSettings) -> Radiograph:
    """Read the image of a file by its content, whatever its name. Raises RejectionError."""
    if is_raster(data):
        return read_raster(data, index_view, settings)
    if is_dicom(data):
        return read_dicom(data, index_view, settings)
    raise RejectionError("not_an_image", "neither DICOM nor JPEG nor PNG" if data else "the file is empty")

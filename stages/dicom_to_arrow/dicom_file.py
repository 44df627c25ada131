"""A DICOM file to a Radiograph: parse, select, cross-check, decode, and the display chain that its elements ask for."""

import numpy as np
from jaxtyping import Float32, Integer
from pydicom import Dataset

from stages.dicom_to_arrow.colour import luma
from stages.dicom_to_arrow.decoding import Decoded, decode
from stages.dicom_to_arrow.display import WHITE, Display, Levels, LookupTable, Rescale, Window, to_levels
from stages.dicom_to_arrow.display_elements import read_display, read_palette
from stages.dicom_to_arrow.elements import numbers
from stages.dicom_to_arrow.parsing import is_dicom, parse
from stages.dicom_to_arrow.pixel_format import GREY, PixelFormat, read_pixel_format, stored_values
from stages.dicom_to_arrow.radiograph import Radiograph
from stages.dicom_to_arrow.rejection import RejectionError
from stages.dicom_to_arrow.selection import (
    check_body_part,
    check_burned_in,
    check_modality,
    check_sop_class,
    check_view,
    view_of,
)
from stages.dicom_to_arrow.settings import DicomToArrowSettings

__all__ = ["is_dicom", "read_dicom", "read_spacing"]

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")  # mm; row spacing first (10.7.1.3)
_LARGEST_ASPECT = 10  # no detector has such pixels: one of the two numbers is wrong, and nobody knows which


def read_dicom(data: bytes, index_view: str | None, settings: DicomToArrowSettings) -> Radiograph:
    """The image of a DICOM file, as it is meant to be seen. Raises RejectionError."""
    file = parse(data, settings.max_file_bytes)
    dataset = file.dataset
    check_modality(dataset, settings)
    check_sop_class(dataset, settings)
    view = view_of(index_view, dataset)
    check_view(view, settings)
    check_body_part(dataset, settings)
    check_burned_in(dataset, settings)
    if not file.pixels:
        raise RejectionError("no_pixel_data", "PixelData is missing or empty")
    pixel_format = read_pixel_format(dataset, settings.max_pixels)
    display = read_display(dataset, pixel_format) if pixel_format.photometric in GREY else None
    decoded = decode(file, pixel_format, _reduction(display, pixel_format, settings))
    if display is not None:
        levels, window = to_levels(*stored_values(decoded.words, pixel_format), display), display.window
    else:  # the Modality and VOI LUTs are for grey images only
        levels, window = Levels(_grey_of_colours(dataset, pixel_format, decoded), 0.0, WHITE), "none"
    row_spacing, column_spacing, aspect = read_spacing(dataset)
    shape = pixel_format.rows, pixel_format.columns
    return Radiograph(levels, shape, view, pixel_format.photometric, window, row_spacing, column_spacing, aspect)


def _reduction(display: Display | None, pixel_format: PixelFormat, settings: DicomToArrowSettings) -> int:
    """How many wavelet levels of JPEG 2000 need not be decoded.

    Means of the pixels take the place of the pixels, so the chain must be a proportion that the file states (the range
    of the means is smaller than that of the pixels), nothing may be padding, and the square may need no more pixels.
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
    """Luma (BT.601) of a colour image, 0 to 255: the Y of YBR, the weighted sum of RGB and of a palette's colours."""
    words, bits = decoded.words, pixel_format.bits_stored
    if pixel_format.photometric == "PALETTE COLOR":
        return _grey_of_palette(read_palette(dataset, pixel_format.signed), stored_values(words, pixel_format)[0])
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
    """The palette's luma of every stored value; values below and beyond it take its ends (C.7.6.3.1.5)."""
    table = luma(np.stack([colour.entries for colour in palette], axis=-1)[np.newaxis])[0]
    index = np.clip(stored.astype(np.int32), palette[0].first, palette[0].first + len(table) - 1) - palette[0].first
    return _scaled(table[index], 2 ** palette[0].bits - 1)


def _scaled(grey: Float32[np.ndarray, "rows columns"], white: int) -> Float32[np.ndarray, "rows columns"]:
    if np.ptp(grey) == 0:
        raise RejectionError("constant_image", "every pixel has the same value")
    return grey * np.float32(WHITE / white)


def read_spacing(dataset: Dataset) -> tuple[float | None, float | None, float]:
    """Row spacing, column spacing (mm, or None) and the height of a pixel over its width.

    PixelSpacing is the better of the three where several are there (10.7.1.3). PixelAspectRatio (C.7.6.3.1.7: vertical,
    horizontal) counts where there is no spacing.
    """
    for keyword in _SPACINGS:
        spacing = numbers(dataset, keyword)
        if len(spacing) == 2 and min(spacing) > 0:
            return spacing[0], spacing[1], _aspect(*spacing, keyword)
    ratio = numbers(dataset, "PixelAspectRatio")
    if len(ratio) == 2 and min(ratio) > 0:
        return None, None, _aspect(*ratio, "PixelAspectRatio")
    return None, None, 1.0


def _aspect(height: float, width: float, keyword: str) -> float:
    aspect = height / width
    if not 1 / _LARGEST_ASPECT <= aspect <= _LARGEST_ASPECT:
        raise RejectionError("invalid_element", f"{keyword}: one side of a pixel is over {_LARGEST_ASPECT} x the other")
    return aspect

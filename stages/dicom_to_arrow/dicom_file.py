"""A DICOM file to a Radiograph: parse, select, cross-check, decode, and the display chain that its elements ask for."""

import struct
import zlib
from io import BytesIO

import numpy as np
from jaxtyping import Float32
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_color_lut
from pydicom.uid import DeflatedExplicitVRLittleEndian

from stages.dicom_to_arrow.colour import luma
from stages.dicom_to_arrow.decoding import Decoded, decode, transfer_syntax
from stages.dicom_to_arrow.display import WHITE, Display, LookupTable, Rescale, Window, is_inverted, to_grey
from stages.dicom_to_arrow.elements import items, numbers, raw, text
from stages.dicom_to_arrow.pixel_format import GREY, PixelFormat, padding_mask, read_pixel_format, stored_values
from stages.dicom_to_arrow.radiograph import Radiograph
from stages.dicom_to_arrow.rejection import RejectionError
from stages.dicom_to_arrow.selection import check_body_part, check_modality, check_view, view_of
from stages.dicom_to_arrow.settings import DicomToArrowSettings

_META_START = 132  # preamble and "DICM"
_META_SEARCHED = 65536  # bytes; the File Meta Information has a few hundred
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")  # mm; row spacing first (10.7.1.3)


def is_dicom(data: bytes) -> bool:
    """Part 10 by its prefix; a bare data set by its first group (0002 or 0008), little or big endian."""
    return data[128:132] == b"DICM" or (len(data) > 8 and data[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08"))


def read_dicom(data: bytes, index_view: str | None, settings: DicomToArrowSettings) -> Radiograph:
    """The image of a DICOM file, as it is meant to be seen. Raises RejectionError."""
    dataset = _parse(data, settings.max_file_bytes)
    check_modality(dataset, settings)
    view = view_of(index_view, dataset)
    check_view(view, settings)
    check_body_part(dataset, settings)
    if not raw(dataset, "PixelData"):
        raise RejectionError("no_pixel_data", "PixelData is missing or empty")
    pixel_format = read_pixel_format(dataset, settings.max_pixels)
    decoded = decode(dataset, pixel_format)
    if pixel_format.photometric in GREY:
        stored = stored_values(decoded.words, pixel_format)
        display = read_display(dataset, pixel_format)
        grey, window = to_grey(stored, padding_mask(stored, pixel_format), display), display.window
    else:  # the Modality and VOI LUTs are for grey images only
        grey, window = _grey_of_colours(dataset, pixel_format, decoded), "none"
    row_spacing, column_spacing, aspect = read_spacing(dataset)
    return Radiograph(grey, view, pixel_format.photometric, window, row_spacing, column_spacing, aspect)


def _parse(data: bytes, max_bytes: int) -> Dataset:
    _check_inflated_size(data, max_bytes)
    try:
        return dcmread(BytesIO(data), force=True)
    except Exception as error:  # pydicom raises nearly anything on damaged files, quoting values
        raise RejectionError("unreadable_header", f"{type(error).__name__} while parsing the data set") from None


def _check_inflated_size(data: bytes, max_bytes: int) -> None:
    """A deflated data set (PS3.5 A.5) is inflated up to the limit first: a few kilobytes can hold gigabytes."""
    if DeflatedExplicitVRLittleEndian.encode() not in data[:_META_SEARCHED]:
        return
    tag, length = struct.unpack_from("<8sI", data, _META_START)
    if tag != b"\x02\0\0\0UL\x04\0":
        raise RejectionError("unreadable_header", "deflated, without the length of the File Meta Information")
    try:
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[_META_START + 12 + length :], max_bytes + 1)
    except zlib.error:
        raise RejectionError("unreadable_header", "the deflated data set cannot be inflated") from None
    if len(inflated) > max_bytes:
        raise RejectionError("too_large", f"more than {max_bytes} bytes once inflated (max_file_bytes)")


def read_display(dataset: Dataset, pixel_format: PixelFormat) -> Display:
    """The grey-scale chain that the elements ask for. Raises RejectionError."""
    tables = items(dataset, "ModalityLUTSequence")
    modality = _lookup_table(tables[0], dataset, pixel_format.signed) if tables else _rescale(dataset)
    tables = items(dataset, "VOILUTSequence")  # C.11.2.1: alternatives; the first, as of the windows
    voi = _lookup_table(tables[0], dataset, pixel_format.signed) if tables else _window(dataset)
    return Display(modality, voi, is_inverted(pixel_format.photometric, text(dataset, "PresentationLUTShape")))


def _rescale(dataset: Dataset) -> Rescale:
    slopes, intercepts = numbers(dataset, "RescaleSlope"), numbers(dataset, "RescaleIntercept")
    slope, intercept = slopes[0] if slopes else 1.0, intercepts[0] if intercepts else 0.0
    if slope == 0:
        raise RejectionError("rescale_slope_zero", "RescaleSlope is 0: every value would be the same")
    return Rescale(slope, intercept)


def _window(dataset: Dataset) -> Window | None:
    """The first window; None where there is none that the standard allows (width 0, a centre without a width)."""
    centers, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    function = text(dataset, "VOILUTFunction") or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise RejectionError("invalid_element", "VOILUTFunction is none of LINEAR, LINEAR_EXACT, SIGMOID")
    if not centers or not widths or widths[0] <= 0 or (function == "LINEAR" and widths[0] < 1):
        return None
    return Window(centers[0], widths[0], function)


def _lookup_table(item: Dataset, dataset: Dataset, signed: bool) -> LookupTable:
    """LUTDescriptor and LUTData (C.11.1.1.1): number of entries (0 for 65536), first value mapped, bits of an entry."""
    descriptor = [int(value) for value in numbers(item, "LUTDescriptor")]
    if len(descriptor) != 3 or not 8 <= descriptor[2] <= 16:
        raise RejectionError("lookup_table_invalid", "LUTDescriptor is not (entries, first, 8 to 16 bits)")
    count, first, bits = descriptor[0] % 65536 or 65536, descriptor[1], descriptor[2]
    order = "<" if transfer_syntax(dataset).is_little_endian else ">"
    if isinstance(item.get("LUTData"), bytes):  # OW
        data = raw(item, "LUTData")
    else:  # US, and SS where a reader took the VR for it
        data = (np.array(numbers(item, "LUTData"), dtype=np.int64) & 0xFFFF).astype(f"{order}u2").tobytes()
    if len(data) == 2 * count:
        entries = np.frombuffer(data, dtype=f"{order}u2").astype(np.uint16)
    elif bits == 8 and len(data) == count + count % 2:  # two entries a word
        entries = np.frombuffer(data, dtype=f"{order}u2").astype("<u2").view(np.uint8)[:count].astype(np.uint16)
    else:
        raise RejectionError(
            "lookup_table_invalid", f"LUTDescriptor says {count} entries, LUTData has {len(data)} bytes"
        )
    if int(entries.max()) >= 2**bits:
        raise RejectionError("lookup_table_invalid", f"an entry is larger than {bits} bits")
    # of signed pixels the first value is signed, too, also where its VR was written as US
    return LookupTable(first - 65536 if signed and first >= 32768 else first, entries, bits)


def _grey_of_colours(
    dataset: Dataset, pixel_format: PixelFormat, decoded: Decoded
) -> Float32[np.ndarray, "rows columns"]:
    """Luma (BT.601) of a colour image, 0 to 255: the Y of YBR, the weighted sum of RGB and of a palette's colours."""
    words, bits = decoded.words, pixel_format.bits_stored
    if pixel_format.photometric == "PALETTE COLOR":
        try:
            words = apply_color_lut(words, dataset)
        except Exception as error:  # a palette can be wrong in many ways, and messages may quote it
            raise RejectionError("lookup_table_invalid", f"{type(error).__name__} in the palette") from None
        bits = 8 * words.dtype.itemsize
    if words.dtype.itemsize > 2 or words.dtype.kind != "u":
        raise RejectionError("bits_inconsistent", f"colour of {8 * words.dtype.itemsize} bits or signed")
    if int(words.max()) >= 2**bits:
        raise RejectionError("bits_inconsistent", f"values above BitsStored {bits}")
    is_ybr = decoded.photometric.startswith("YBR")
    grey = words[..., 0].astype(np.float32, order="C") if is_ybr else luma(words)
    if np.ptp(grey) == 0:
        raise RejectionError("constant_image", "every pixel has the same value")
    return grey * np.float32(WHITE / (2**bits - 1))


def read_spacing(dataset: Dataset) -> tuple[float | None, float | None, float]:
    """Row spacing, column spacing (mm, or None) and the height of a pixel over its width.

    PixelSpacing is the better of the three where several are there (10.7.1.3). PixelAspectRatio (C.7.6.3.1.7: vertical,
    horizontal) counts where there is no spacing.
    """
    for keyword in _SPACINGS:
        spacing = numbers(dataset, keyword)
        if len(spacing) == 2 and min(spacing) > 0:
            return spacing[0], spacing[1], spacing[0] / spacing[1]
    ratio = numbers(dataset, "PixelAspectRatio")
    if len(ratio) == 2 and min(ratio) > 0:
        return None, None, ratio[0] / ratio[1]
    return None, None, 1.0

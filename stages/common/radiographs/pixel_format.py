"""Elements that say how pixels are stored and how they are to be displayed.

The Image Pixel Module (PS3.3 C.7.6.3) describes how stored values lie in the pixel data, which is checked for
consistency. C.11.1, C.11.2 and C.7.6.3 describe how grey values are meant to be displayed.
"""

from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from jaxtyping import Bool, Integer
from pydicom import Dataset

from .display import Display, LookupTable, Rescale, Stored, Window, is_inverted
from .parsing import has_value, integer, is_little_endian, items, number, numbers, raw, required_integer, text
from .rejection import RejectionError
from .settings import RadiographSettings

GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_SAMPLES = {**dict.fromkeys(GREY, 1), "PALETTE COLOR": 1, "RGB": 3,
            "YBR_FULL": 3, "YBR_FULL_422": 3, "YBR_ICT": 3, "YBR_RCT": 3}  # fmt: skip


@dataclass(frozen=True)
class PixelFormat:
    """Checked elements of the Image Pixel Module."""

    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    padding: tuple[int, int] | None  # smallest and largest stored value that count as padding
    overlays: int = 0  # mask of the bits that hold retired overlays, outside BitsStored (PS3.5 8.1.1)


def read_pixel_format(dataset: Dataset, settings: RadiographSettings) -> PixelFormat:
    """Read the elements of the Image Pixel module and check them against each other. Raises RejectionError."""
    frames = integer(dataset, "NumberOfFrames") or 0  # 0 is written for one, against C.7.6.6.1.1; the length decides
    if frames > 1:
        raise RejectionError("multi_frame", f"{frames} frames")
    if frames < 0:
        raise RejectionError("invalid_element", f"NumberOfFrames is {frames}")
    photometric = text(dataset, "PhotometricInterpretation")
    pixel_format = PixelFormat(
        rows=required_integer(dataset, "Rows"),
        columns=required_integer(dataset, "Columns"),
        samples=required_integer(dataset, "SamplesPerPixel"),
        photometric=photometric,
        bits_allocated=required_integer(dataset, "BitsAllocated"),
        bits_stored=required_integer(dataset, "BitsStored"),
        high_bit=required_integer(dataset, "HighBit"),
        signed=bool(representation := required_integer(dataset, "PixelRepresentation")),
        padding=None,
    )
    if representation not in (0, 1):
        raise RejectionError("invalid_element", "PixelRepresentation is neither 0 nor 1")
    _check(pixel_format, settings)
    if photometric not in GREY:
        return pixel_format
    return replace(
        pixel_format, padding=_padding_range(dataset, pixel_format), overlays=_overlay_mask(dataset, pixel_format)
    )


def _check(pixel_format: PixelFormat, settings: RadiographSettings) -> None:
    rows, columns, allocated = pixel_format.rows, pixel_format.columns, pixel_format.bits_allocated
    if rows < 1 or columns < 1:
        raise RejectionError("invalid_element", f"Rows x Columns is {rows} x {columns}")
    if _SAMPLES.get(pixel_format.photometric) != pixel_format.samples:
        known = pixel_format.photometric if pixel_format.photometric in _SAMPLES else "unknown"
        raise RejectionError("photometric_unsupported", f"{known} with {pixel_format.samples} samples per pixel")
    check_size(rows, columns, pixel_format.samples, settings)
    stored, high = pixel_format.bits_stored, pixel_format.high_bit
    # PS3.5 8.1.1: 1, 8 or 16 bits; 32 in other modalities. HighBit above BitsStored - 1 is retired.
    if allocated not in (1, 8, 16, 32) or not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise RejectionError("bits_inconsistent", f"BitsAllocated {allocated}, BitsStored {stored}, HighBit {high}")
    if allocated == 1 and pixel_format.samples != 1:
        raise RejectionError("bits_inconsistent", f"BitsAllocated 1 with {pixel_format.samples} samples per pixel")
    if pixel_format.photometric == "YBR_FULL_422" and columns % 2:  # C.7.6.3.1.2: two pixels share their colours
        raise RejectionError("photometric_unsupported", f"YBR_FULL_422 with {columns} columns")


def check_size(rows: int, columns: int, samples: int, settings: RadiographSettings) -> None:
    """Reject an image with more samples, or with fewer rows or columns, than the settings allow."""
    if rows * columns * samples > settings.max_pixels:
        message = f"{rows} x {columns} x {samples} samples, max_pixels is {settings.max_pixels}"
        raise RejectionError("too_large", message)
    if min(rows, columns) < settings.min_side:
        raise RejectionError("too_small", f"{rows} x {columns} pixels, min_side is {settings.min_side}")


def check_native_size(pixel_format: PixelFormat, length: int) -> None:
    """Check that `length` bytes of native pixel data hold exactly one frame, padded to an even length (PS3.5 8.1.1).

    A tolerance would let a wrong Rows or Columns through: 1023 x 1025 pixels are one fewer than 1024 x 1024. Raises
    RejectionError (size_mismatch).
    """
    # C.7.6.3.1.2: YBR_FULL_422 stores two colour samples for two pixels, so two samples per pixel in all.
    samples = 2 if pixel_format.photometric == "YBR_FULL_422" else pixel_format.samples
    expected = ceil(pixel_format.rows * pixel_format.columns * samples * pixel_format.bits_allocated / 8)
    if length not in (expected, expected + expected % 2):
        raise RejectionError(
            "size_mismatch", f"{length} bytes of pixel data, Rows x Columns x samples x bits is {expected}"
        )


def stored_values(words: Integer[np.ndarray, "rows columns"], pixel_format: PixelFormat) -> Stored:
    """Return stored values of grey pixels from the words that hold them, with a mask of padding.

    PS3.5 8.1.1: the value occupies BitsStored bits up to HighBit, whose top bit is the sign. The other bits are unused;
    here they must be zero, or repeat the sign, or be overlays that the header declares. Padding may have any value. A
    value that BitsStored cannot hold is rejected, never wrapped.
    """
    stored = pixel_format.bits_stored
    shift = pixel_format.high_bit + 1 - stored
    if pixel_format.overlays:
        words = _without_overlays(words, pixel_format)
    if shift and (words & (2**shift - 1)).any():
        raise RejectionError(
            "bits_inconsistent", f"bits below BitsStored {stored}, HighBit {pixel_format.high_bit} are set"
        )
    values = words >> shift if shift else words
    padding = padding_mask(values, pixel_format.padding)
    found = Stored.of(values, padding)
    low, high = found.low, found.high
    half = 2 ** (stored - 1)
    if not pixel_format.signed:
        if high >= 2 * half or low < 0:
            raise RejectionError("bits_inconsistent", f"values above BitsStored {stored}: up to {high}")
        return found
    if low >= 0 and half <= high < 2 * half:  # two's complement of BitsStored bits, unused bits zero
        # Padding is extended as well, in the element as in the pixels. What the mask already marks may lie outside the
        # bits.
        extended = _sign_extended(values, stored)
        ends = [end - 2 * half if half <= end < 2 * half else end for end in pixel_format.padding or ()]
        also = padding_mask(extended, (min(ends), max(ends)) if ends else None)
        return Stored.of(extended, also if padding is None else padding if also is None else padding | also)
    if low < -half or high >= half:
        raise RejectionError("bits_inconsistent", f"values from {low} to {high} do not fit BitsStored {stored}, signed")
    return found


def padding_mask(
    values: Integer[np.ndarray, "rows columns"], padding: tuple[int, int] | None
) -> Bool[np.ndarray, "rows columns"] | None:
    """Return a mask of padding (first to last padding value, C.7.5.1.1.2), or None where there is none."""
    if padding is None:
        return None
    first, last = padding
    mask = (values >= first) & (values <= last)
    return mask if mask.any() else None


def _sign_extended(values: Integer[np.ndarray, "rows columns"], bits: int) -> Integer[np.ndarray, "rows columns"]:
    """Return numbers of `bits` bits in two's complement, whatever the bits above them are."""
    unused = 8 * values.dtype.itemsize - bits
    return (values << unused) >> unused


def _padding_range(dataset: Dataset, pixel_format: PixelFormat) -> tuple[int, int] | None:
    """Return the inclusive padding range of PixelPaddingValue and PixelPaddingRangeLimit (C.7.5.1.1.2).

    The two may come in either order.
    """
    value = integer(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = integer(dataset, "PixelPaddingRangeLimit")
    ends = [_as_stored(end, pixel_format) for end in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _as_stored(value: int, pixel_format: PixelFormat) -> int:
    """Reinterpret a padding value whose VR (US or SS) does not fit PixelRepresentation; the bits stay the same."""
    span = 2**pixel_format.bits_allocated
    if pixel_format.signed and value >= span // 2:
        return value - span
    return value + span if value < 0 and not pixel_format.signed else value


def _overlay_mask(dataset: Dataset, pixel_format: PixelFormat) -> int:
    """Return the mask of overlay bits (60xx) that lie in the pixel data.

    Such overlays have a bit position and no data of their own.
    """
    values = range(pixel_format.high_bit + 1 - pixel_format.bits_stored, pixel_format.high_bit + 1)
    mask = 0
    for group in range(0x6000, 0x6020, 2):
        position = (group, 0x0102)
        if has_value(dataset, position) and not has_value(dataset, (group, 0x3000)):
            bit = dataset[position].value
            if isinstance(bit, int) and 0 <= bit < pixel_format.bits_allocated and bit not in values:
                mask |= 1 << bit
    return mask


def _without_overlays(
    words: Integer[np.ndarray, "rows columns"], pixel_format: PixelFormat
) -> Integer[np.ndarray, "rows columns"]:
    unsigned = words.view(f"u{words.dtype.itemsize}")
    cleared = (unsigned & unsigned.dtype.type(np.iinfo(unsigned.dtype).max ^ pixel_format.overlays)).view(words.dtype)
    # In signed words the bits above the sign bit repeated it; one of them was just cleared.
    return _sign_extended(cleared, pixel_format.high_bit + 1) if pixel_format.signed else cleared


_COLOURS = ("Red", "Green", "Blue")
_LARGEST = 1e30  # of what a rescale may give: beyond it, products and differences leave float64


def read_display(dataset: Dataset, pixel_format: PixelFormat) -> Display:
    """Read the grey-scale chain that the elements define. Raises RejectionError."""
    little_endian = is_little_endian(dataset)
    tables = items(dataset, "ModalityLUTSequence")
    modality = _lookup_table(tables[0], little_endian, pixel_format.signed) if tables else _rescale(dataset)
    tables = items(dataset, "VOILUTSequence")  # C.11.2.1: alternatives; the first, as of the windows
    voi: Window | LookupTable | None = None
    unusable: RejectionError | None = None
    if tables:  # preferred to a window, as by pydicom's apply_voi_lut
        try:
            voi = _lookup_table(tables[0], little_endian, _can_be_negative(modality, pixel_format))
        except RejectionError as error:
            unusable = error
    if voi is None:
        voi = _window(dataset)
        if unusable and voi is None:
            raise unusable
    inverted = is_inverted(pixel_format.photometric, text(dataset, "PresentationLUTShape"))
    return Display(modality, voi, inverted, voi_lut_unusable=unusable is not None)


def _rescale(dataset: Dataset) -> Rescale:
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if (slope is None and intercept) or (intercept is None and slope not in (None, 0, 1)):  # C.11.1: both or neither
        raise RejectionError("missing_element", "one of RescaleSlope and RescaleIntercept is missing")
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    if slope == 0:
        raise RejectionError("rescale_slope_zero", "RescaleSlope is 0: every value would be the same")
    if max(abs(slope), 1 / abs(slope), abs(intercept)) > _LARGEST:
        raise RejectionError("invalid_element", "RescaleSlope or RescaleIntercept is beyond any unit")
    return Rescale(slope, intercept)


def _window(dataset: Dataset) -> Window | None:
    """Return the first window, or None where the standard allows none (width 0, a centre without a width)."""
    centers, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    function = text(dataset, "VOILUTFunction") or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise RejectionError("invalid_element", "VOILUTFunction is none of LINEAR, LINEAR_EXACT, SIGMOID")
    if not centers or not widths or widths[0] <= 0 or (function == "LINEAR" and widths[0] < 1):
        return None
    return Window(centers[0], widths[0], function)


def _can_be_negative(modality: Rescale | LookupTable, pixel_format: PixelFormat) -> bool:
    """Return whether the VOI LUT's input is signed, so that its first value mapped is signed, too (C.11.2.1.1)."""
    if isinstance(modality, LookupTable):
        return False  # entries have no sign
    half = 2 ** (pixel_format.bits_stored - 1)
    ends = (-half, half - 1) if pixel_format.signed else (0, 2 * half - 1)
    return min(end * modality.slope + modality.intercept for end in ends) < 0


def read_palette(dataset: Dataset, signed: bool) -> tuple[LookupTable, LookupTable, LookupTable]:
    """Return the red, green and blue tables of a palette (C.7.6.3.1.5, C.7.6.3.1.6), which must map the same values."""
    little_endian = is_little_endian(dataset)
    if any(f"Segmented{colour}PaletteColorLookupTableData" in dataset for colour in _COLOURS):
        raise RejectionError("lookup_table_invalid", "segmented palettes are not read")
    red, green, blue = (
        _lookup_table(dataset, little_endian, signed, f"{colour}PaletteColorLookupTable") for colour in _COLOURS
    )
    if any((table.first, len(table.entries), table.bits) != (red.first, len(red.entries), red.bits)
           for table in (green, blue)):  # fmt: skip
        raise RejectionError("lookup_table_invalid", "the colours of the palette have different descriptors")
    return red, green, blue


def _lookup_table(item: Dataset, little_endian: bool, signed: bool, name: str = "LUT") -> LookupTable:
    """Read a table's Descriptor and Data (C.11.1.1.1).

    The Descriptor holds the number of entries (0 for 65536), the first value mapped and the bits of an entry. `signed`
    says that the mapped values can be negative; then so can the first one, even if its VR was written as US.
    """
    descriptor = [int(value) for value in numbers(item, f"{name}Descriptor")]
    if len(descriptor) != 3 or not 8 <= descriptor[2] <= 16:
        raise RejectionError("lookup_table_invalid", f"{name}Descriptor is not (entries, first, 8 to 16 bits)")
    count, first, bits = descriptor[0] % 65536 or 65536, descriptor[1], descriptor[2]
    order = "<" if little_endian else ">"
    if has_value(item, f"{name}Data") and isinstance(item[f"{name}Data"].value, bytes):  # OW
        data = raw(item, f"{name}Data")
    else:  # US, or SS where a reader assumed that VR
        data = (np.array(numbers(item, f"{name}Data"), dtype=np.int64) & 0xFFFF).astype(f"{order}u2").tobytes()
    if len(data) == 2 * count:
        entries = np.frombuffer(data, dtype=f"{order}u2").astype(np.uint16)
    elif bits == 8 and len(data) == count + count % 2:  # two entries per word
        entries = np.frombuffer(data, dtype=f"{order}u2").astype("<u2").view(np.uint8)[:count].astype(np.uint16)
    else:
        raise RejectionError(
            "lookup_table_invalid", f"{name}Descriptor says {count} entries, {name}Data has {len(data)} bytes"
        )
    if int(entries.max()) >= 2**bits:
        raise RejectionError("lookup_table_invalid", f"an entry is larger than {bits} bits")
    return LookupTable(first - 65536 if signed and first >= 32768 else first, entries, bits)

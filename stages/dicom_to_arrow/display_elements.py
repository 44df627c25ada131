"""The elements of a data set that say how its grey values are meant to be seen (PS3.3 C.11.1, C.11.2, C.7.6.3)."""

import numpy as np
from pydicom import Dataset

from stages.dicom_to_arrow.display import Display, LookupTable, Rescale, Window, is_inverted
from stages.dicom_to_arrow.elements import has_value, items, number, numbers, raw, text
from stages.dicom_to_arrow.pixel_format import PixelFormat
from stages.dicom_to_arrow.rejection import RejectionError

_COLOURS = ("Red", "Green", "Blue")
_LARGEST = 1e30  # of what a rescale may give: beyond, products and differences leave float64


def read_display(dataset: Dataset, pixel_format: PixelFormat) -> Display:
    """The grey-scale chain that the elements ask for. Raises RejectionError."""
    little_endian = dataset.original_encoding[1]
    tables = items(dataset, "ModalityLUTSequence")
    modality = _lookup_table(tables[0], little_endian, pixel_format.signed) if tables else _rescale(dataset)
    tables = items(dataset, "VOILUTSequence")  # C.11.2.1: alternatives; the first, as of the windows
    voi = _window(dataset)
    if tables:
        voi = _lookup_table(tables[0], little_endian, _can_be_negative(modality, pixel_format))
    return Display(modality, voi, is_inverted(pixel_format.photometric, text(dataset, "PresentationLUTShape")))


def _rescale(dataset: Dataset) -> Rescale:
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if (slope is None and intercept) or (intercept is None and slope not in (None, 0, 1)):  # C.11.1: both or none
        raise RejectionError("missing_element", "one of RescaleSlope and RescaleIntercept is missing")
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    if slope == 0:
        raise RejectionError("rescale_slope_zero", "RescaleSlope is 0: every value would be the same")
    if max(abs(slope), 1 / abs(slope), abs(intercept)) > _LARGEST:
        raise RejectionError("invalid_element", "RescaleSlope or RescaleIntercept is beyond any unit")
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


def _can_be_negative(modality: Rescale | LookupTable, pixel_format: PixelFormat) -> bool:
    """Whether the input of the VOI LUT is signed, so that its first value mapped is, too (C.11.2.1.1)."""
    if isinstance(modality, LookupTable):
        return False  # entries have no sign
    half = 2 ** (pixel_format.bits_stored - 1)
    ends = (-half, half - 1) if pixel_format.signed else (0, 2 * half - 1)
    return min(end * modality.slope + modality.intercept for end in ends) < 0


def read_palette(dataset: Dataset, signed: bool) -> tuple[LookupTable, LookupTable, LookupTable]:
    """Red, green and blue of stored values (C.7.6.3.1.5, C.7.6.3.1.6), all three for the same values."""
    little_endian = dataset.original_encoding[1]
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
    """Its Descriptor and Data (C.11.1.1.1): number of entries (0 for 65536), first value mapped, bits of an entry.

    `signed`: the values that it maps can be negative; then so can the first, also where its VR was written as US.
    """
    descriptor = [int(value) for value in numbers(item, f"{name}Descriptor")]
    if len(descriptor) != 3 or not 8 <= descriptor[2] <= 16:
        raise RejectionError("lookup_table_invalid", f"{name}Descriptor is not (entries, first, 8 to 16 bits)")
    count, first, bits = descriptor[0] % 65536 or 65536, descriptor[1], descriptor[2]
    order = "<" if little_endian else ">"
    if has_value(item, f"{name}Data") and isinstance(item[f"{name}Data"].value, bytes):  # OW
        data = raw(item, f"{name}Data")
    else:  # US, and SS where a reader took the VR for it
        data = (np.array(numbers(item, f"{name}Data"), dtype=np.int64) & 0xFFFF).astype(f"{order}u2").tobytes()
    if len(data) == 2 * count:
        entries = np.frombuffer(data, dtype=f"{order}u2").astype(np.uint16)
    elif bits == 8 and len(data) == count + count % 2:  # two entries a word
        entries = np.frombuffer(data, dtype=f"{order}u2").astype("<u2").view(np.uint8)[:count].astype(np.uint16)
    else:
        raise RejectionError(
            "lookup_table_invalid", f"{name}Descriptor says {count} entries, {name}Data has {len(data)} bytes"
        )
    if int(entries.max()) >= 2**bits:
        raise RejectionError("lookup_table_invalid", f"an entry is larger than {bits} bits")
    return LookupTable(first - 65536 if signed and first >= 32768 else first, entries, bits)

"""Parsing of a DICOM file: its data set, its elements, and the bytes of its one frame.

Element readers return the requested type, or raise a RejectionError that names the element but never its value. Pixel
data are not copied. Encapsulated pixel data (PS3.5 A.4) are a sequence of fragments that must form a single frame.
"""

import math
import re
import struct
import zlib
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_partial
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from .rejection import RejectionError

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)  # PS3.5 6.2, DS; float() also reads 1_0, nan


def text(dataset: Dataset, keyword: str) -> str:
    """Return the (first) value in upper case without outer blanks; "" where the element is absent or empty."""
    values = _values(dataset, keyword)
    return str(values[0]).strip(" \0").upper() if values else ""


def joined_text(dataset: Dataset, keyword: str) -> str:
    """Return all values in upper case, as the standard joins them (PS3.5, 6.4), for an element that should have one."""
    return "\\".join(str(value).strip(" \0").upper() for value in _values(dataset, keyword))


def integer(dataset: Dataset, keyword: str) -> int | None:
    """Return a single whole number; None where the element is absent or empty."""
    value = number(dataset, keyword)
    if value is not None and value != int(value):
        raise RejectionError("invalid_element", f"{keyword} is not one whole number")
    return None if value is None else int(value)


def required_integer(dataset: Dataset, keyword: str) -> int:
    """Return a single whole number. Raises RejectionError (missing_element) where it is absent or empty."""
    value = integer(dataset, keyword)
    if value is None:
        raise RejectionError("missing_element", f"{keyword} is missing")
    return value


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return the single value of an element; None where it is absent or empty."""
    values = numbers(dataset, keyword)
    if len(values) > 1:
        raise RejectionError("invalid_element", f"{keyword} has {len(values)} values")
    return values[0] if values else None


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """Return all values, which must be finite; an empty list where the element is absent or empty."""
    values = [_number(value, keyword) for value in _values(dataset, keyword)]
    if not all(math.isfinite(value) for value in values):
        raise RejectionError("invalid_element", f"{keyword} is not finite")
    return values


def _number(value: Any, keyword: str) -> float:
    written = getattr(value, "original_string", value)  # IS and DS keep their text; a number of binary VR has none
    if isinstance(written, str) and not _DECIMAL.fullmatch(written.strip(" \0")):
        raise RejectionError("invalid_element", f"{keyword} is no number")
    if isinstance(value, bytes):  # float() would read them as text
        raise RejectionError("invalid_element", f"{keyword} holds bytes, no number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise RejectionError("invalid_element", f"{keyword} is no number") from None


def raw(dataset: Dataset, keyword: str) -> bytes:
    """Return the bytes of an element of binary VR; b"" where it is absent or empty."""
    values = _values(dataset, keyword)
    if len(values) > 1 or not all(isinstance(value, bytes) for value in values):
        raise RejectionError("invalid_element", f"{keyword} holds no bytes")
    return values[0] if values else b""


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; an empty list where it is absent or empty."""
    values = _values(dataset, keyword)
    if not all(isinstance(item, Dataset) for item in values):
        raise RejectionError("invalid_element", f"{keyword} is no sequence")
    return values


def has_value(dataset: Dataset, keyword: str | tuple[int, int]) -> bool:
    """Return whether an element is present and not empty."""
    return bool(_values(dataset, keyword))


def _values(dataset: Dataset, keyword: str | tuple[int, int]) -> list[Any]:
    try:
        value = dataset[keyword].value if keyword in dataset else None
    except Exception:  # pydicom converts on access, and its messages quote the value
        raise RejectionError("invalid_element", f"{keyword} cannot be parsed") from None
    if value is None or (isinstance(value, str) and not value.strip(" \0")) or value == b"":
        return []
    return list(value) if isinstance(value, MultiValue | Sequence | list) else [value]


def is_little_endian(dataset: Dataset) -> bool:
    """Return the order of bytes that a data set was read with; what was never read has none."""
    _, little_endian = dataset.original_encoding
    if little_endian is None:
        raise RejectionError("unreadable_header", "the order of bytes of the data set is unknown")
    return little_endian


NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
_META_START = 132  # preamble and "DICM"
_META_SEARCHED = 65536  # bytes; the File Meta Information has a few hundred
_PIXEL_DATA = 0x7FE00010
_PIXEL_DATA_TAGS = (b"\xe0\x7f\x10\0", b"\x7f\xe0\0\x10")  # little and big endian
_MODALITY = 0x00080060
_DIRECTORY = 0x0004  # the group of a DICOMDIR
_SHORTEST_ELEMENT = 8  # bytes
_UNDEFINED = 0xFFFFFFFF
_LONG_FORM = ("OB", "OW", "OD", "OF", "OL", "OV", "UC", "UN", "UR", "UT")  # PS3.5 7.1.2: 2 reserved bytes, 4 of length


@dataclass(frozen=True)
class DicomFile:
    """A parsed DICOM file."""

    dataset: Dataset  # the elements before the pixel data
    syntax: UID
    pixels: memoryview  # value of PixelData; if encapsulated, all that follows the element's header
    vr: str  # of PixelData; "" where the encoding is implicit
    truncated: bool = False  # the file ends within an element of its header
    headless: bool = False  # it ends before Modality, the first element that says what it is


class _PixelDataFinder:
    """Callback of pydicom at each element of the data set; stops at PixelData and records what it has seen."""

    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()
        self.vr: str | None = None
        self.length = 0
        self.last = 0  # tag

    def __call__(self, tag: int, vr: str | None, length: int) -> bool:
        self.last = int(tag)
        self.seen[self.last] += 1
        if tag == _PIXEL_DATA:
            self.vr, self.length = vr, length
            return True
        return False


def is_dicom(data: bytes) -> bool:
    """Return whether the bytes are DICOM: Part 10 by its prefix, a bare data set by its first group.

    That group is 0002 or 0008, little or big endian.
    """
    return data[128:132] == b"DICM" or (len(data) > 8 and data[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08"))


def parse(data: bytes, max_bytes: int) -> DicomFile:
    """Parse a file up to the pixel data.

    Raises RejectionError. Missing pixel data leave `pixels` empty; the caller decides on no_pixel_data.
    """
    _check_inflated_size(data, max_bytes)
    finder = _PixelDataFinder()
    try:
        dataset = read_partial(BytesIO(data), finder, force=True)
    except MemoryError:
        raise
    except (EOFError, struct.error, BytesLengthException):  # fewer bytes than an element's header needs
        raise RejectionError("truncated_header", "the file ends within its header; download it again") from None
    except Exception as error:  # pydicom raises nearly anything on damaged files, and quotes values
        raise RejectionError("unreadable_header", f"{type(error).__name__} while parsing the data set") from None
    for tag, count in finder.seen.items():
        # PS3.5 7.1: an element occurs at most once, since nobody knows which of two values is meant. Private elements
        # are never read. pydicom looks at the first element twice where the encoding is not as the file says.
        if count > 1 and not tag >> 16 & 1 and (count > 2 or tag != next(iter(finder.seen))):
            raise _repeated(tag)
    if _PIXEL_DATA not in finder.seen:
        syntax = _transfer_syntax(dataset, encapsulated=False, has_pixels=False)
        headless = finder.last < _MODALITY and not any(tag >> 16 == _DIRECTORY for tag in finder.seen)
        return DicomFile(dataset, syntax, memoryview(b""), "", _is_cut(dataset, finder, len(data)), headless)
    pixels = _pixel_bytes(data, dataset.buffer, finder)
    syntax = _transfer_syntax(dataset, finder.length == _UNDEFINED, bool(pixels))
    return DicomFile(dataset, syntax, pixels, finder.vr or "")


def _is_cut(dataset: Dataset, finder: _PixelDataFinder, length: int) -> bool:
    """Return whether a file of `length` bytes without pixel data ends within an element.

    pydicom takes a value that the end of the file cuts short as it is, and drops an element whose header is cut.
    """
    if finder.last not in dataset:
        return 0 < finder.last < _PIXEL_DATA  # a sequence of undefined length that does not end
    element = dataset.get_item(finder.last, keep_deferred=True)
    if not isinstance(element, RawDataElement) or element.length == _UNDEFINED:
        return False
    if isinstance(dataset.buffer, DicomBytesIO):  # pydicom has inflated the data set
        length = len(dataset.buffer.getvalue())
    end = element.value_tell + element.length
    return end > length or 0 < length - end < _SHORTEST_ELEMENT


def _repeated(tag: int) -> RejectionError:
    return RejectionError("invalid_element", f"element ({tag >> 16:04X},{tag & 0xFFFF:04X}) is there twice")


def _pixel_bytes(data: bytes, buffer: Any, finder: _PixelDataFinder) -> memoryview:
    """Return the value of PixelData, which begins after the element's header, where pydicom stopped."""
    start = buffer.tell() + (12 if finder.vr in _LONG_FORM else 8)
    if not isinstance(buffer, BytesIO):  # pydicom has inflated the data set
        buffer.seek(0)
        data = buffer.read()
    if finder.length == _UNDEFINED:
        return memoryview(data)[start:]
    end = start + finder.length
    # Little may follow the pixel data (padding, signatures), so that damage before a second copy hides nothing.
    if max(data.find(tag, end) for tag in _PIXEL_DATA_TAGS) >= 0:
        raise _repeated(_PIXEL_DATA)
    return memoryview(data)[start:end]


def _check_inflated_size(data: bytes, max_bytes: int) -> None:
    """Inflate a deflated data set (PS3.5 A.5) up to the limit first, since a few kilobytes can hold gigabytes."""
    if DeflatedExplicitVRLittleEndian.encode() not in data[:_META_SEARCHED]:
        return
    tag, length = struct.unpack_from("<8sI", data.ljust(_META_START + 12, b"\0"), _META_START)
    if tag != b"\x02\0\0\0UL\x04\0":
        raise RejectionError("unreadable_header", "deflated, without the length of the File Meta Information")
    try:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        inflated = stream.decompress(data[_META_START + 12 + length :], max_bytes + 1)
    except zlib.error:
        raise RejectionError("unreadable_header", "the deflated data set cannot be inflated") from None
    if len(inflated) > max_bytes:
        raise RejectionError("too_large", f"more than {max_bytes} bytes once inflated (max_file_bytes)")
    if not stream.eof:
        raise RejectionError("truncated_header", "the file ends within its deflated data set; download it again")


def _transfer_syntax(dataset: Dataset, encapsulated: bool, has_pixels: bool) -> UID:
    """Return the transfer syntax, after checking it against whether PixelData is encapsulated.

    Encapsulated pixel data have undefined length (A.4). A file without File Meta Information has native pixel data, in
    the encoding that its elements were read with.
    """
    syntax = UID(text(dataset.file_meta, "TransferSyntaxUID"))
    implicit, _ = dataset.original_encoding
    if not syntax and not encapsulated:
        return NATIVE[0] if implicit else NATIVE[1] if is_little_endian(dataset) else NATIVE[2]
    if has_pixels and encapsulated != (syntax not in NATIVE):
        kind = "encapsulated" if encapsulated else "native"
        raise RejectionError("transfer_syntax_unsupported", f"{kind} pixel data under {name_of(syntax)}")
    return syntax


def name_of(syntax: UID) -> str:
    """Return the name of a transfer syntax; the text of an unknown one is not repeated."""
    return syntax.name if syntax.name != syntax else "an unknown transfer syntax"


_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"  # little endian, as every encapsulated syntax is


def single_frame(pixels: memoryview, extended_offsets: int, one_fragment: bool) -> bytes:
    """Return the compressed bytes of the only frame.

    `one_fragment` says that a frame is one fragment (A.4.2, RLE), so that several fragments are several frames. Raises
    RejectionError for several frames, or for truncated fragments.
    """
    offset_table, *fragments = fragments_of(pixels)
    frames = max(len(offset_table) // 4, extended_offsets, len(fragments) if one_fragment else 0)
    if frames > 1:
        raise RejectionError("multi_frame", f"the pixel data hold {frames} frames")
    if not any(len(fragment) for fragment in fragments):
        raise RejectionError("no_pixel_data", "the pixel data hold no fragment")
    return b"".join(fragments)


def fragments_of(pixels: memoryview) -> list[memoryview]:
    """Return all items up to the Sequence Delimitation Item.

    The first one is the Basic Offset Table, which may be empty.
    """
    fragments: list[memoryview] = []
    position = 0
    while True:
        header = pixels[position : position + 8]
        if len(header) < 8:
            raise RejectionError("truncated_frame", "the pixel data end without Sequence Delimitation Item")
        tag, length = struct.unpack("<4sI", header)
        if tag == _END and fragments:
            if _PIXEL_DATA_TAGS[0] in bytes(pixels[position + 8 :]):
                raise _repeated(_PIXEL_DATA)
            return fragments
        if tag != _ITEM:
            raise RejectionError("decode_failed", "the encapsulated pixel data are not a sequence of items")
        position += 8 + length
        if position > len(pixels):
            raise RejectionError("truncated_frame", "a fragment is longer than the file")
        fragments.append(pixels[position - length : position])

"""Checks of compressed frames against damage that the codecs do not report.

The codecs trust the codestream where it contradicts the DICOM header, and decode half a picture without an error. So
this module

- reads size, components, precision and end marker from the codestream: ITU-T T.81 B.2.2 and T.87 C.2.2 (JPEG, JPEG-LS),
  T.800 A.5.1 (JPEG 2000);
- computes from the decoded picture how many bits the scan of a lossless JPEG must have. libjpeg makes up what a scan
  lacks, and continues after damage, without an error. The picture determines every Huffman code (T.81, annex H), so the
  length of the scan shows whether the picture is all that it holds. This takes a fifth of the time of a second
  decoding;
- catches the warnings that the codecs print, since they report damage on standard error only.
"""

import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float64, UInt16

from .rejection import RejectionError

_START, END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"  # SOI; EOI, which JPEG 2000 calls EOC
_J2K_START = b"\xff\x4f\xff\x51"  # SOC, SIZ
_J2K_TILE_PART = 0xFF90  # SOT
_J2K_COD = b"\xff\x52"  # COD
# SOF0 to SOF15 without DHT, JPG and DAC; SOF55 is JPEG-LS
_FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_JFIF, _ADOBE = 0xE0, 0xEE
_DHT, _SOS, _DRI, _SOF3 = 0xC4, 0xDA, 0xDD, 0xC3


@dataclass(frozen=True)
class Codestream:
    """Header of a compressed frame."""

    rows: int
    columns: int
    components: int
    precision: int  # bits per sample
    complete: bool  # whether the end marker is there
    images: int  # consecutive codestreams in the frame; 2 stands for several
    process: int = 0  # JPEG: the marker of the frame header, SOF0 = 0xC0 and so on
    colours: str = ""  # JPEG: YBR or RGB if a JFIF or Adobe segment says so
    transformed: bool = False  # JPEG 2000: a colour transformation (RCT or ICT) that the decoder undoes
    levels: int = 0  # JPEG 2000: wavelet decompositions, which is how often the picture can be halved


def read_jpeg(frame: bytes) -> Codestream:
    """Return the header of a JPEG or JPEG-LS frame. Raises RejectionError (decode_failed) where there is none."""
    position, process, colours = 2, 0, ""
    header: tuple[int, int, int, int] | None = None
    try:
        if frame[:2] != _START:
            raise ValueError
        while True:
            while frame[position] == 0xFF and frame[position + 1] == 0xFF:  # fill bytes before a marker
                position += 1
            lead, marker, length = struct.unpack_from(">BBH", frame, position)
            if lead != 0xFF:
                raise ValueError
            if marker in _WITHOUT_LENGTH:
                position += 2
                continue
            if marker in _FRAME_HEADERS:
                if header is not None:
                    raise ValueError
                header, process = struct.unpack_from(">BHHB", frame, position + 4), marker
            if marker == _JFIF and frame[position + 4 : position + 9] == b"JFIF\0":
                colours = colours or "YBR"
            if marker == _ADOBE and length >= 14 and frame[position + 4 : position + 9] == b"Adobe":  # overrides JFIF
                colours = "YBR" if frame[position + 15] else "RGB"
            position += 2 + length
            if marker == _SOS:
                break
        if header is None:
            raise ValueError
        precision, rows, columns, components = header
    except (ValueError, IndexError, struct.error):
        raise RejectionError("decode_failed", "the pixel data hold no JPEG header") from None
    complete, images = _ends_of_images(frame, position)
    return Codestream(rows, columns, components, precision, complete, images, process, colours)


def _ends_of_images(frame: bytes, position: int) -> tuple[bool, int]:
    """Return whether the scan that begins at `position` ends, and 2 instead of 1 where another image follows.

    Bytes of a scan never form a marker (T.81 B.1.1.5, T.87 A.1), so the first EOI after it is the end.
    """
    scan = np.frombuffer(frame, dtype=np.uint8, offset=min(position, len(frame)))
    places = np.flatnonzero(scan[:-1] == 0xFF)  # a fourth of the time of bytes.find
    codes = scan[places + 1]
    ends = places[codes == END_OF_IMAGE[1]]
    if not len(ends):
        return False, 1
    return True, 2 if (codes[places > ends[0] + 1] == _START[1]).any() else 1


def read_jpeg2000(frame: bytes) -> Codestream:
    """Return the header of a JPEG 2000 or HTJ2K frame, with or without JP2 boxes around it.

    Raises RejectionError (decode_failed) where there is none.
    """
    start = frame.find(_J2K_START)
    try:
        if start < 0:
            raise ValueError
        width, height, left, top, tile_width, tile_height = struct.unpack_from(">6I", frame, start + 8)
        components, size_byte = struct.unpack_from(">HB", frame, start + 40)
        # A.5.1: tiles have at least one sample; a million of them is a decompression bomb, not a picture.
        if not (tile_width and tile_height) or width * height > 2**20 * tile_width * tile_height:
            raise ValueError
        subsampling = frame[start + 43 : start + 42 + 3 * components]
        cod = frame.index(_J2K_COD, start + 40)  # A.6.1: Lcod, Scod, SGcod (order, layers, transformation), levels
        transformed, levels = frame[cod + 8] != 0, frame[cod + 9]
        if any(factor != 1 for index, factor in enumerate(subsampling) if index % 3 < 2):
            raise ValueError
    except (ValueError, IndexError, struct.error):
        raise RejectionError("decode_failed", "the pixel data hold no JPEG 2000 header") from None
    end = _end_of_tile_parts(frame, start + 2)
    images = 1 if end is None or _J2K_START not in frame[end + 2 :] else 2
    # Ssiz: precision - 1 in the low seven bits, the sign in the highest.
    rows, columns, precision = height - top, width - left, (size_byte & 0x7F) + 1
    return Codestream(
        rows, columns, components, precision, end is not None, images, transformed=transformed, levels=levels
    )


def _end_of_tile_parts(frame: bytes, position: int) -> int | None:
    """Return the position of EOC, reached by the lengths that the markers state; None where the chain is broken.

    A.4.2: Psot is the length of a tile-part from its SOT; 0, allowed in the last one only, means all that is there.
    """
    tile_parts = 0
    while True:
        marker = frame[position : position + 2]
        if marker == END_OF_IMAGE and tile_parts:
            return position
        header = frame[position : position + 12]
        if len(header) < 12 or header[0] != 0xFF:
            return None
        code, length, _, tile_part_length = struct.unpack_from(">HHHI", header)
        if code != _J2K_TILE_PART:
            if tile_parts:
                return None
            position += 2 + length
        elif tile_part_length == 0:
            end = frame.rfind(END_OF_IMAGE, position)
            return end if end > 0 else None
        elif tile_part_length < 14:  # SOT and SOD alone
            return None
        else:
            position, tile_parts = position + tile_part_length, tile_parts + 1


_BLOCK = 2**24  # pixels; up to this number the float32 counts of a histogram are exact
_EXTRA = 16  # bytes that an encoder may leave between the last code and the end marker


@dataclass(frozen=True)
class Scan:
    """The only scan of a frame of one component, with each sample predicted by its left neighbour."""

    precision: int
    bits: Float64[np.ndarray, "65536"]  # of a difference, indexed by its value modulo 2^16
    length: int  # bytes, without stuffing

    def is_all_of(self, words: UInt16[np.ndarray, "rows columns"]) -> bool:
        """Return whether the scan is as long as the picture needs.

        If it is longer or shorter, some of the picture was lost or made up.
        """
        spare = self.length - _bits_of(words, self) / 8
        return 0 <= spare < _EXTRA


def read_scan(frame: bytes) -> Scan | None:
    """Read the scan of a lossless JPEG.

    Returns None for rare kinds: other predictors, restarts, point transforms.
    """
    position, precision = 2, 0
    tables: dict[int, dict[int, int]] = {}
    try:
        while True:
            while frame[position + 1] == 0xFF:  # fill bytes
                position += 1
            _, marker, length = struct.unpack_from(">BBH", frame, position)
            segment = frame[position + 4 : position + 2 + length]
            position += 2 + length
            if marker == _SOF3:
                precision = segment[0]
            elif marker == _DHT:
                tables |= _code_lengths(segment)
            elif marker == _DRI and any(segment):
                return None
            elif marker == _SOS:
                break
        components, _, table, predictor, _, transform = segment
        end = frame.rindex(END_OF_IMAGE)
        scan = np.frombuffer(frame[position:end].rstrip(b"\xff"), dtype=np.uint8)
        stuffed = np.flatnonzero(scan == 0xFF)  # F.1.2.3: a zero follows each, or it is a marker
        if (components, predictor, transform) != (1, 1, 0) or scan[stuffed + 1].any():
            return None
        return Scan(precision, _bits_of_differences(tables[table >> 4]), len(scan) - len(stuffed))
    except (ValueError, IndexError, KeyError, struct.error):
        return None


def _code_lengths(segment: bytes) -> dict[int, dict[int, int]]:
    """Return the length in bits of each category's code, for every table (B.2.4.2)."""
    tables, position = {}, 0
    while position < len(segment):
        counts = segment[position + 1 : position + 17]
        values = segment[position + 17 : position + 17 + sum(counts)]
        lengths = [length for length, count in enumerate(counts, start=1) for _ in range(count)]
        tables[segment[position] & 15] = dict(zip(values, lengths, strict=True))
        position += 17 + sum(counts)
    return tables


def _bits_of_differences(code_lengths: dict[int, int]) -> Float64[np.ndarray, "65536"]:
    """Return the bits of each difference (H.1.2.2): the category's code, then as many bits as the category's number.

    No bits follow category 16 (32,768). A category without a code cannot be in the picture: infinitely many bits.
    """
    sizes = np.abs(np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int64))
    category = np.frexp(sizes.astype(np.float64))[1]  # |difference| from 2^(c-1), below 2^c
    code = np.array([code_lengths.get(number, np.inf) for number in range(17)])
    return code[category] + np.where(category == 16, 0, category)


def _bits_of(words: UInt16[np.ndarray, "rows columns"], scan: Scan) -> float:
    """Return the number of bits that the picture needs in the scan.

    H.1.2.1: each sample is predicted by its left neighbour, in the first column by the upper one, and the first sample
    by half of the range.
    """
    rows = max(1, _BLOCK // words.shape[1])
    counts = np.zeros(65536)
    for start in range(0, len(words), rows):
        block = words[start : start + rows]
        differences = np.empty_like(block)
        np.subtract(block[:, 1:], block[:, :-1], out=differences[:, 1:])  # modulo 2^16, as in H.1.2.1
        above = words[start - 1 : start - 1 + len(block), 0] if start else np.append(
            np.uint16(2 ** (scan.precision - 1)), block[:-1, 0]
        )  # fmt: skip
        np.subtract(block[:, 0], above, out=differences[:, 0])
        counts += cv2.calcHist([differences], [0], None, [65536], [0, 65536]).ravel()
    used = counts > 0  # 0 times infinity is not a number
    return float(counts[used] @ scan.bits[used])


_STANDARD_ERROR = 2
# Encoders pad with a few bytes between the last pixel and the end marker, and the image is whole. Many bytes are what
# the decoder left over after damage that no Huffman code betrayed.
_HARMLESS = re.compile(rb"Corrupt JPEG data: [1-4] extraneous bytes before marker 0xd9")
_DAMAGE = re.compile(rb"corrupt|premature|bogus|invalid|inconsistent|not defined|unexpected|error|fail", re.IGNORECASE)


@contextmanager
def refusing_what_codecs_warn_of() -> Iterator[None]:
    """Capture what C and Rust code writes to standard error; raise RejectionError at the end if it mentions damage.

    The file descriptor belongs to the whole process, so this must not be used in two threads at a time.
    """
    saved, heard = os.dup(_STANDARD_ERROR), os.memfd_create("codec")
    try:
        os.dup2(heard, _STANDARD_ERROR)
        try:
            yield
        finally:
            os.dup2(saved, _STANDARD_ERROR)
        text = _HARMLESS.sub(b"", os.pread(heard, 65536, 0))
    finally:
        os.close(saved)
        os.close(heard)
    if _DAMAGE.search(text):
        raise RejectionError("decode_failed", "the decoder warns that the compressed image is damaged")

"""Look into compressed frames: headers, Huffman scans, and what codecs warn of.

What a compressed frame says of itself: size, components, precision, and whether its end is there.

The codecs trust the codestream where it contradicts the DICOM header, and decode half a picture without a word. So the
few bytes that tell are read here: ITU-T T.81 B.2.2 and T.87 C.2.2 (JPEG, JPEG-LS), T.800 A.5.1 (JPEG 2000).

How many bits the scan of a lossless JPEG must have, told from the picture that was decoded of it.

libjpeg makes up what a scan lacks, and goes on behind damage, without an error. Of a picture every Huffman code is
known again (ITU-T T.81, annex H): so the length of the scan tells whether the picture is all that it holds, in a fifth
of the time of a second decoding.

Listening to the codecs: of damaged data they decode what they can, and tell nobody but standard error.
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

_START, _END = b"\xff\xd8", b"\xff\xd9"  # SOI; EOI, which JPEG 2000 calls EOC
_J2K_START = b"\xff\x4f\xff\x51"  # SOC, SIZ
_J2K_TILE_PART = 0xFF90  # SOT
_J2K_COD = b"\xff\x52"  # COD
_START_OF_SCAN = 0xDA
# SOF0 to SOF15 without DHT, JPG and DAC; SOF55 is JPEG-LS
_FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_JFIF, _ADOBE = 0xE0, 0xEE


@dataclass(frozen=True)
class Codestream:
    rows: int
    columns: int
    components: int
    precision: int  # bits a sample
    complete: bool  # the end marker is there
    images: int  # codestreams one after the other in the frame
    process: int = 0  # JPEG: the marker of the frame header, SOF0 = 0xC0 and so on
    colours: str = ""  # JPEG: YBR or RGB where a JFIF or Adobe segment says so
    transformed: bool = False  # JPEG 2000: a colour transformation (RCT or ICT) that the decoder undoes
    levels: int = 0  # JPEG 2000: wavelet decompositions, so often may the picture be halved


def read_jpeg(frame: bytes) -> Codestream:
    """Header of a JPEG or JPEG-LS frame. Raises RejectionError (decode_failed) where there is none."""
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
            if marker == _ADOBE and length >= 14 and frame[position + 4 : position + 9] == b"Adobe":  # over JFIF
                colours = "YBR" if frame[position + 15] else "RGB"
            position += 2 + length
            if marker == _START_OF_SCAN:
                break
        if header is None:
            raise ValueError
        precision, rows, columns, components = header
    except (ValueError, IndexError, struct.error):
        raise RejectionError("decode_failed", "the pixel data hold no JPEG header") from None
    # Bytes of a scan never form a marker (T.81 B.1.1.5, T.87 A.1), so the first EOI behind it is the end.
    end = frame.find(_END, position)
    images = 1 if end < 0 or _START not in frame[end + 2 :] else 2
    return Codestream(rows, columns, components, precision, end >= 0, images, process, colours)


def read_jpeg2000(frame: bytes) -> Codestream:
    """Header of a JPEG 2000 or HTJ2K frame, wrapped in JP2 boxes or not. Raises RejectionError (decode_failed)."""
    start = frame.find(_J2K_START)
    try:
        if start < 0:
            raise ValueError
        width, height, left, top, tile_width, tile_height = struct.unpack_from(">6I", frame, start + 8)
        components, size_byte = struct.unpack_from(">HB", frame, start + 40)
        # A.5.1: tiles at least one sample large; a million of them is a bomb, not a picture
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
    # Ssiz: precision - 1 in the low seven bits, the sign in the highest
    rows, columns, precision = height - top, width - left, (size_byte & 0x7F) + 1
    return Codestream(
        rows, columns, components, precision, end is not None, images, transformed=transformed, levels=levels
    )


def _end_of_tile_parts(frame: bytes, position: int) -> int | None:
    """Where EOC stands, reached from marker to marker by the lengths that they state; None where the way is broken.

    A.4.2: Psot is the length of a tile-part from its SOT; 0, in the last one alone, means all that is there.
    """
    tile_parts = 0
    while True:
        marker = frame[position : position + 2]
        if marker == _END and tile_parts:
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
            end = frame.rfind(_END, position)
            return end if end > 0 else None
        elif tile_part_length < 14:  # SOT and SOD alone
            return None
        else:
            position, tile_parts = position + tile_part_length, tile_parts + 1


_DHT, _SOS, _DRI, _SOF3 = 0xC4, 0xDA, 0xDD, 0xC3
_BLOCK = 2**24  # pixels; up to so many the float32 counts of a histogram are exact
_EXTRA = 16  # bytes that an encoder may leave between the last code and the end marker


@dataclass(frozen=True)
class Scan:
    """The only scan of a frame of one component, each sample predicted by its left neighbour."""

    precision: int
    bits: Float64[np.ndarray, "65536"]  # of a difference, by its value modulo 2^16
    length: int  # bytes, without stuffing

    def is_all_of(self, words: UInt16[np.ndarray, "rows columns"]) -> bool:
        """Whether the scan is as long as the picture needs: longer or shorter, some of it was lost or made up."""
        spare = self.length - _bits_of(words, self) / 8
        return 0 <= spare < _EXTRA


def read_scan(frame: bytes) -> Scan | None:
    """Read the scan of a lossless JPEG; None for rare kinds: other predictors, restarts, point transforms."""
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
        end = frame.rindex(b"\xff\xd9")
        scan = np.frombuffer(frame[position:end].rstrip(b"\xff"), dtype=np.uint8)
        stuffed = np.flatnonzero(scan == 0xFF)  # F.1.2.3: a zero behind each, or it is a marker
        if (components, predictor, transform) != (1, 1, 0) or scan[stuffed + 1].any():
            return None
        return Scan(precision, _bits_of_differences(tables[table >> 4]), len(scan) - len(stuffed))
    except (ValueError, IndexError, KeyError, struct.error):
        return None


def _code_lengths(segment: bytes) -> dict[int, dict[int, int]]:
    """B.2.4.2: of every table the length of each category's code, bits."""
    tables, position = {}, 0
    while position < len(segment):
        counts = segment[position + 1 : position + 17]
        values = segment[position + 17 : position + 17 + sum(counts)]
        lengths = [length for length, count in enumerate(counts, start=1) for _ in range(count)]
        tables[segment[position] & 15] = dict(zip(values, lengths, strict=True))
        position += 17 + sum(counts)
    return tables


def _bits_of_differences(code_lengths: dict[int, int]) -> Float64[np.ndarray, "65536"]:
    """H.1.2.2: the code of the category, and as many bits as its number, but none behind category 16 (32,768).

    A category without a code cannot be in the picture: infinitely many bits.
    """
    sizes = np.abs(np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int64))
    category = np.frexp(sizes.astype(np.float64))[1]  # |difference| from 2^(c-1) on, below 2^c
    code = np.array([code_lengths.get(number, np.inf) for number in range(17)])
    return code[category] + np.where(category == 16, 0, category)


def _bits_of(words: UInt16[np.ndarray, "rows columns"], scan: Scan) -> float:
    """H.1.2.1: the left neighbour predicts, in the first column the upper one, at the start half of the range."""
    rows = max(1, _BLOCK // words.shape[1])
    counts = np.zeros(65536)
    for start in range(0, len(words), rows):
        block = words[start : start + rows]
        differences = np.empty_like(block)
        np.subtract(block[:, 1:], block[:, :-1], out=differences[:, 1:])  # modulo 2^16, as H.1.2.1 has it
        above = words[start - 1 : start - 1 + len(block), 0] if start else np.append(
            np.uint16(2 ** (scan.precision - 1)), block[:-1, 0]
        )  # fmt: skip
        np.subtract(block[:, 0], above, out=differences[:, 0])
        counts += cv2.calcHist([differences], [0], None, [65536], [0, 65536]).ravel()
    used = counts > 0  # 0 times infinity is no number
    return float(counts[used] @ scan.bits[used])


_STANDARD_ERROR = 2
# A few bytes to spare between the last pixel and the end marker: encoders pad so, and the image is whole. Many are what
# the decoder left over after damage that no Huffman code betrayed.
_HARMLESS = re.compile(rb"Corrupt JPEG data: [1-4] extraneous bytes before marker 0xd9")
_DAMAGE = re.compile(rb"corrupt|premature|bogus|invalid|inconsistent|not defined|unexpected|error|fail", re.IGNORECASE)


@contextmanager
def refusing_what_codecs_warn_of() -> Iterator[None]:
    """Keep what C and Rust code writes to standard error; a word of damage in it raises RejectionError at the end.

    The file descriptor belongs to the whole process: not for use in two threads at a time.
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

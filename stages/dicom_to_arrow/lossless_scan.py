"""How many bits the scan of a lossless JPEG must have, told from the picture that was decoded of it.

libjpeg makes up what a scan lacks, and goes on behind damage, without an error. Of a picture every Huffman code is
known again (ITU-T T.81, annex H): so the length of the scan tells whether the picture is all that it holds, in a fifth
of the time of a second decoding.
"""

import struct
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float64, UInt16

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
    """The scan of a lossless JPEG; None for the kinds that are rare: other predictors, restarts, point transforms."""
    position, tables, precision = 2, {}, 0
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

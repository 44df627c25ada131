"""What a compressed frame says of itself: size, components, precision, and whether its end is there.

The codecs trust the codestream where it contradicts the DICOM header, and decode half a picture without a word. So the
few bytes that tell are read here: ITU-T T.81 B.2.2 and T.87 C.2.2 (JPEG, JPEG-LS), T.800 A.5.1 (JPEG 2000).
"""

import struct
from dataclasses import dataclass

from stages.dicom_to_arrow.rejection import RejectionError

_START, _END = b"\xff\xd8", b"\xff\xd9"  # SOI; EOI, which JPEG 2000 calls EOC
_J2K_START = b"\xff\x4f\xff\x51"  # SOC, SIZ
_J2K_DATA = b"\xff\x93"  # SOD
_START_OF_SCAN = 0xDA
# SOF0 to SOF15 without DHT, JPG and DAC; SOF55 is JPEG-LS
_FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


@dataclass(frozen=True)
class Codestream:
    rows: int
    columns: int
    components: int
    precision: int  # bits a sample
    complete: bool  # the end marker is there
    images: int  # codestreams one after the other in the frame


def read_jpeg(frame: bytes) -> Codestream:
    """Header of a JPEG or JPEG-LS frame. Raises RejectionError (decode_failed) where there is none."""
    position, header = 2, None
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
                header = struct.unpack_from(">BHHB", frame, position + 4)
            position += 2 + length
            if marker == _START_OF_SCAN:
                break
        precision, rows, columns, components = header
    except (ValueError, TypeError, IndexError, struct.error):
        raise RejectionError("decode_failed", "the pixel data hold no JPEG header") from None
    # Bytes of a scan never form a marker (T.81 B.1.1.5, T.87 A.1), so the first EOI behind it is the end.
    end = frame.find(_END, position)
    images = 1 if end < 0 or _START not in frame[end + 2 :] else 2
    return Codestream(rows, columns, components, precision, end >= 0, images)


def read_jpeg2000(frame: bytes) -> Codestream:
    """Header of a JPEG 2000 or HTJ2K frame, wrapped in JP2 boxes or not. Raises RejectionError (decode_failed)."""
    start = frame.find(_J2K_START)
    try:
        if start < 0:
            raise ValueError
        width, height, left, top = struct.unpack_from(">4I", frame, start + 8)
        components, size_byte = struct.unpack_from(">HB", frame, start + 40)
    except (ValueError, struct.error):
        raise RejectionError("decode_failed", "the pixel data hold no JPEG 2000 header") from None
    data = frame.find(_J2K_DATA, start)
    end = frame.find(_END, data) if data >= 0 else -1  # packets hold no marker either (T.800 A.1)
    images = 1 if end < 0 or _J2K_START not in frame[end + 2 :] else 2
    # Ssiz: precision - 1 in the low seven bits, the sign in the highest
    return Codestream(height - top, width - left, components, (size_byte & 0x7F) + 1, end >= 0, images)

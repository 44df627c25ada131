"""What a compressed frame says of itself: size, components, precision, and whether its end is there.

The codecs trust the codestream where it contradicts the DICOM header, and decode half a picture without a word. So the
few bytes that tell are read here: ITU-T T.81 B.2.2 and T.87 C.2.2 (JPEG, JPEG-LS), T.800 A.5.1 (JPEG 2000).
"""

import struct
from dataclasses import dataclass

from stages.dicom_to_arrow.rejection import RejectionError

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
    position, header, process, colours = 2, None, 0, ""
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
        precision, rows, columns, components = header
    except (ValueError, TypeError, IndexError, struct.error):
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

"""PNG files: every chunk is verified before a decoder sees it, and 16 bits of colour are kept.

Pillow verifies no checksum of IDAT, and decodes 16 bits of RGB, RGBA or grey with alpha to their high bytes.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt16
from PIL import Image

from .codestreams import refusing_what_codecs_warn_of
from .rejection import RejectionError

PNG_START = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE = 0, 2, 3  # colour types of the PNG specification, 11.2.1; 4 and 6 are GREY and RGB with alpha
_ALPHA = 4
_ORIENTATION = 0x0112  # EXIF tag
# How the stored pixels are turned upright, by EXIF orientation (CIPA DC-008, 4.6.4); 1 is upright.
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


@dataclass(frozen=True)
class PngHeader:
    """Header of a PNG whose chunks are all there, with right checksums."""

    rows: int  # as stored, before the EXIF orientation
    columns: int
    bits: int  # per sample
    colour_type: int
    chunks: frozenset[bytes]  # names

    @property
    def is_transparent(self) -> bool:
        """Return whether pixels may be transparent: by an alpha channel or a chunk tRNS."""
        return bool(self.colour_type & _ALPHA) or b"tRNS" in self.chunks

    @property
    def is_animated(self) -> bool:
        """Return whether it is an APNG."""
        return b"acTL" in self.chunks

    @property
    def has_deep_colours(self) -> bool:
        """Return whether it has several samples of 16 bits a pixel."""
        return self.bits == 16 and self.colour_type != GREY


def read_png_header(data: bytes) -> PngHeader:
    """Verify the checksum of every chunk up to IEND. Raises RejectionError (decode_failed)."""
    view, position, name = memoryview(data), len(PNG_START), b""
    chunks: set[bytes] = set()
    try:
        while name != b"IEND":
            length, name = struct.unpack_from(">I4s", data, position)
            (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
            if zlib.crc32(view[position + 4 : position + 8 + length]) != checksum or (not chunks and name != b"IHDR"):
                raise ValueError
            chunks.add(name)
            position += 12 + length
        columns, rows, bits, colour_type = struct.unpack_from(">IIBB", data, len(PNG_START) + 8)
    except (struct.error, ValueError):
        raise RejectionError("decode_failed", "a chunk of the PNG is cut, or its checksum is wrong") from None
    return PngHeader(rows, columns, bits, colour_type, frozenset(chunks))


def decode_deep_colours(data: bytes, opened: Image.Image) -> UInt16[np.ndarray, "rows columns samples"]:
    """Return the samples of a PNG that `has_deep_colours`, upright: red, green, blue and, if transparent, alpha.

    `opened` is the same file in Pillow, which finds the orientation in every place where a PNG may state it. Raises
    RejectionError (decode_failed).
    """
    with refusing_what_codecs_warn_of():
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)  # not turned by EXIF
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise RejectionError("decode_failed", "the PNG cannot be decoded with 16 bits")
    pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[-1]]]
    turn = _TURNS.get(opened.getexif().get(_ORIENTATION, 1))
    return pixels if turn is None else turn(pixels)

"""Encapsulated pixel data (PS3.5 A.4): the items of a sequence of fragments, and the one frame that they must be."""

import struct

from stages.dicom_to_arrow.rejection import RejectionError

_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"  # little endian, as every encapsulated syntax is
_PIXEL_DATA = b"\xe0\x7f\x10\x00"


def single_frame(pixels: memoryview, extended_offsets: int, one_fragment: bool) -> bytes:
    """The compressed bytes of the only frame. Raises RejectionError where there are several, or fragments are cut.

    `one_fragment`: a frame is one fragment (A.4.2, RLE), so that several fragments are several frames.
    """
    offset_table, *fragments = fragments_of(pixels)
    frames = max(len(offset_table) // 4, extended_offsets, len(fragments) if one_fragment else 0)
    if frames > 1:
        raise RejectionError("multi_frame", f"the pixel data hold {frames} frames")
    if not any(len(fragment) for fragment in fragments):
        raise RejectionError("no_pixel_data", "the pixel data hold no fragment")
    return b"".join(fragments)


def fragments_of(pixels: memoryview) -> list[memoryview]:
    """All items up to the Sequence Delimitation Item; the first is the Basic Offset Table, which may be empty."""
    fragments, position = [], 0
    while True:
        header = pixels[position : position + 8]
        if len(header) < 8:
            raise RejectionError("truncated_frame", "the pixel data end without Sequence Delimitation Item")
        tag, length = struct.unpack("<4sI", header)
        if tag == _END and fragments:
            if _PIXEL_DATA in bytes(pixels[position + 8 :]):
                raise RejectionError("invalid_element", "element (7FE0,0010) is there twice")
            return fragments
        if tag != _ITEM:
            raise RejectionError("decode_failed", "the encapsulated pixel data are not a sequence of items")
        position += 8 + length
        if position > len(pixels):
            raise RejectionError("truncated_frame", "a fragment is longer than the file")
        fragments.append(pixels[position - length : position])

"""Listening to the codecs: of damaged data they decode what they can, and tell nobody but standard error."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from stages.dicom_to_arrow.rejection import RejectionError

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

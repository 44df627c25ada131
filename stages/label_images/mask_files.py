"""Masks in PNG files: read as the samples that are stored, never as the colours that they show.

Grey of a palette's colour, noise of a JPEG or a shape in the alpha channel would make another mask in silence, so
what is not certainly a mask is refused.
"""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageOps

from ..common.files.rooted_files import Kind, RootedFileError, read_under
from ..common.radiographs.png_files import PNG_START, PngHeader, decode_deep_colours, read_png_header
from ..common.radiographs.rejection import RejectionError

_LARGEST = 2**28  # bytes; a mask of 50 million pixels of 16 bits without any compression has 100 million
_DRAW_AGAIN = "correct the row, or download or draw it again"
_SAVE_AGAIN = "save it as a PNG of one channel without transparency, 0 outside"
_FILE_REMEDIES: dict[Kind, tuple[str, str]] = {
    "missing": ("the file is missing", _DRAW_AGAIN),
    "link_leads_out": ("a link leads out of the data set's root", "name the folder in the data set's `roots`"),
    "too_large": (f"the file has more than {_LARGEST:,} bytes", _SAVE_AGAIN),
    "unreadable": ("the file cannot be read: {detail}", "correct its permissions, or download it again"),
}


class MaskError(ValueError):
    """A mask that is not read, why, and what to do. The text never names the file, since names may identify people."""

    def __init__(self, what: str, remedy: str = _DRAW_AGAIN) -> None:
        super().__init__(what)
        self.remedy = remedy


def read_mask(
    root: Path, relative: str, rows: int, columns: int, roots: tuple[Path, ...] = ()
) -> Bool[np.ndarray, "rows columns"]:
    """Read a mask of an image of `rows` x `columns` pixels: samples other than 0, of a palette indices, are inside.

    It is turned upright by its EXIF orientation, as images are. The file must lie below `root` or one of `roots`, links
    resolved. Raises MaskError.
    """
    try:
        data = read_under(root, relative, _LARGEST, roots)
    except RootedFileError as error:
        what, remedy = _FILE_REMEDIES.get(error.kind, ("it is not a regular file", _DRAW_AGAIN))
        raise MaskError(what.format(detail=error), remedy) from None
    if not data.startswith(PNG_START):
        raise MaskError("the file is not a PNG", _SAVE_AGAIN)
    try:
        header = read_png_header(data)
        _check(header, rows, columns)
        mask = _inside(data, header)
    except RejectionError as error:
        raise MaskError(str(error)) from None
    except Image.DecompressionBombError:
        raise MaskError(f"{header.rows} x {header.columns} pixels are too many to decode", _SAVE_AGAIN) from None
    except MaskError:
        raise
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error):  # what Pillow raises on damage
        raise MaskError("the PNG cannot be decoded") from None
    if mask.shape != (rows, columns):  # turned by its orientation
        raise _another_size(mask.shape[0], mask.shape[1], rows, columns)
    return mask


def _check(header: PngHeader, rows: int, columns: int) -> None:
    """Raise MaskError for what is no mask of the image, before anything is decoded."""
    if header.is_transparent:
        raise MaskError("it has transparency, so the shape may be in colour or in alpha", _SAVE_AGAIN)
    if header.is_animated:
        raise MaskError("it has several frames", _SAVE_AGAIN)
    if {header.rows, header.columns} != {rows, columns}:
        raise _another_size(header.rows, header.columns, rows, columns)


def _another_size(have_rows: int, have_columns: int, rows: int, columns: int) -> MaskError:
    return MaskError(f"{have_rows} x {have_columns} pixels, but the image has {rows} x {columns}")


def _inside(data: bytes, header: PngHeader) -> Bool[np.ndarray, "rows columns"]:
    with Image.open(BytesIO(data), formats=("PNG",)) as picture:
        # Of a palette, Pillow's array holds the indices.
        samples = decode_deep_colours(data, picture) if header.has_deep_colours else np.asarray(
            ImageOps.exif_transpose(picture)
        )  # fmt: skip
    return samples != 0 if samples.ndim == 2 else (samples != 0).any(axis=-1)

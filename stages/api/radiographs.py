"""Radiographs of every kind that a caller may hold, read as the pipeline reads them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..common.errors import InputError
from ..common.inference.squares import reading_settings, square_of_array, squares_of_files
from ..common.radiographs.radiograph import SquareImage

Image = str | Path | bytes | np.ndarray | SquareImage  # a path, a file's bytes, grey levels, or what was read before


def read_radiograph(source: Image, size: int = 256) -> SquareImage:
    """Read a radiograph as dicom_to_arrow does: the standard's display values, long side `size`, padded with black.

    `source` is the path or the bytes of a DICOM, JPEG or PNG file, or an array of rows x columns that is already
    windowed: 0 is black, 255 white. A file is decoded in a child process with limits on time and memory.

    Raises InputError where the source is no frontal radiograph of the modalities that the pipeline accepts.
    """
    [square] = read_radiographs([source], size)
    return square


def read_radiographs(sources: Sequence[Image], size: int, children: int = 1) -> Iterator[SquareImage]:
    """Yield `read_radiograph` of each source in order, files by `children` processes."""
    names = [str(each) if isinstance(each, str | Path) else f"image {place}" for place, each in enumerate(sources)]
    files = [
        (name, each if isinstance(each, bytes) else Path(each))
        for name, each in zip(names, sources, strict=True)
        if isinstance(each, str | Path | bytes)
    ]
    decoded = squares_of_files(
        [each for _, each in files], [name for name, _ in files], reading_settings(size), children
    )
    for name, each in zip(names, sources, strict=True):
        if isinstance(each, np.ndarray):
            yield square_of_array(each, name, size)
        elif not isinstance(each, SquareImage):
            yield next(decoded)
        elif len(each.pixels) == size:
            yield each
        else:
            raise InputError(
                f"{name}: a square of side {len(each.pixels)}, but the model needs {size}", f"read it at {size}"
            )

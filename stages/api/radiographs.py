"""Radiographs of every kind that a caller may hold, read as the pipeline reads them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import PlainValidator

from ..common.errors import InputError, kind_or_empty
from ..common.inference.arguments import check_list
from ..common.inference.squares import reading_settings, square_of_array, squares_or_errors
from ..common.radiographs.radiograph import SquareImage
from .arguments import SideLength, checked

# A path, a file's bytes, grey levels, or what was read before.
Image = str | os.PathLike[str] | bytes | bytearray | memoryview | np.ndarray | SquareImage
Readable = str | Path | bytes | np.ndarray | SquareImage  # the same in fewer types


def check_image(value: object, name: str = "image") -> Readable:
    """Return an image as one of the types that are read here. Raises InputError for other values."""
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, os.PathLike):
        return Path(os.fsdecode(value))
    if isinstance(value, str | bytes | np.ndarray | SquareImage) and not (isinstance(value, str) and not value):
        return value
    raise InputError(f"{name}: {kind_or_empty(value)}", "give a path, bytes or an array")


def check_images(value: object) -> list[Readable]:
    """Return an iterable of images, iterators included, as a list. Raises InputError for a single image without one."""
    if isinstance(value, np.ndarray) and value.ndim == 2:
        raise InputError("images: a single array", "put it in a list")
    return [check_image(each, f"image {place}") for place, each in enumerate(check_list(value, "images"))]


OneImage = Annotated[Image, PlainValidator(lambda value: check_image(value))]
Images = Annotated[Iterable[Image], PlainValidator(check_images)]


@checked
def read_radiograph(source: OneImage, size: SideLength = 256) -> SquareImage:
    """Read a radiograph as dicom_to_arrow does: the standard's display values, long side `size`, padded with black.

    `source` is the path or the bytes of a DICOM, JPEG or PNG file, or an array of rows x columns that is already
    windowed: 0 is black, 255 white. A file is decoded in a child process with limits on time and memory.

    Raises InputError where the source is no frontal radiograph of the modalities that the pipeline accepts.
    """
    [square] = read_radiographs([source], size)
    return square


def read_radiographs(sources: Iterable[Image], size: int, children: int = 1) -> Iterator[SquareImage]:
    """Yield `read_radiograph` of each source in order, files by `children` processes."""
    for _, each in read_or_refuse(sources, size, children):
        if isinstance(each, InputError):
            raise each
        yield each


def read_or_refuse(
    sources: Iterable[Image], size: int, children: int = 1
) -> Iterator[tuple[str, SquareImage | InputError]]:
    """Yield each source's name (its path, or its place) with the radiograph, or with the error that refuses it."""
    images = check_images(sources)
    names = [str(each) if isinstance(each, str | Path) else f"image {place}" for place, each in enumerate(images)]
    files = {place: each for place, each in enumerate(images) if isinstance(each, str | Path | bytes)}
    decoded = squares_or_errors(
        [each if isinstance(each, bytes) else Path(each) for each in files.values()],
        [names[place] for place in files],
        reading_settings(size),
        children,
    )
    for name, each in zip(names, images, strict=True):
        yield name, _held(each, name, size) if isinstance(each, np.ndarray | SquareImage) else next(decoded)


def _held(image: np.ndarray | SquareImage, name: str, size: int) -> SquareImage | InputError:
    """Return an image that the caller holds in memory as a square, or why it is none."""
    if isinstance(image, np.ndarray):
        try:
            return square_of_array(image, name, size)
        except InputError as error:
            return error
    if image.pixels.shape == (size, size):
        return image
    what = f"{name}: a square of side {len(image.pixels)}, but the model needs {size}"
    return InputError(what, f"read it at {size}")

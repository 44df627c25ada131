"""Radiographs of any origin (files, their bytes, grey arrays) as the squares that a model was trained on.

Files are read as dicom_to_arrow reads them, in a child process with limits on time and memory: a damaged one costs an
error, not the server. Torch is not imported, so the child starts in a second.
"""

import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Shaped

from ..errors import InputError, reason_of
from ..radiographs.isolation import Limits, map_isolated
from ..radiographs.radiograph import SquareImage, fit_into_square
from ..radiographs.readers import read_radiograph
from ..radiographs.rejection import RejectionError
from ..radiographs.settings import RadiographSettings


def reading_settings(size: int) -> RadiographSettings:
    """Return dicom_to_arrow's settings, but accept text in the picture, since nothing is kept."""
    return RadiographSettings(size=size, burned_in="accept")


def read_file(path: str | Path, settings: RadiographSettings) -> bytes:
    """Return the bytes of a file. Raises InputError for one of more than `max_file_bytes`, or not readable."""
    path = Path(path)
    try:
        if path.stat().st_size > settings.max_file_bytes:
            raise InputError(
                f"{path}: more than {settings.max_file_bytes:,} bytes", "name the file of a single radiograph"
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)})", "name a DICOM, JPEG or PNG file") from None


def squares_of_files(
    files: Sequence[bytes | Path], names: Sequence[str], settings: RadiographSettings, children: int = 1
) -> Iterator[SquareImage]:
    """Yield each file's radiograph in a square, in order; a file is its bytes or its path.

    Raises InputError with the name and the reason at the first file that is not a radiograph.
    """
    for each in squares_or_errors(files, names, settings, children):
        if isinstance(each, InputError):
            raise each
        yield each


def squares_or_errors(
    files: Sequence[bytes | Path], names: Sequence[str], settings: RadiographSettings, children: int = 1
) -> Iterator[SquareImage | InputError]:
    """Yield `squares_of_files`, but for a file that is no radiograph the error with its name and the reason."""
    convert = partial(_square, settings=settings)
    limits = Limits(settings.max_seconds, settings.max_memory_bytes)
    items = list(zip(names, files, strict=True))
    for name, result in zip(names, map_isolated(convert, items, children, limits), strict=True):
        if result == "died":
            yield InputError(f"{name}: decoding crashed: the file is damaged, or needs more than "
                             f"{settings.max_memory_bytes:,} bytes of memory")  # fmt: skip
        elif result == "too slow":
            yield InputError(f"{name}: not decoded within {settings.max_seconds:g} s: the file is damaged or too large")
        else:
            yield InputError(result) if isinstance(result, str) else result


def square_of_array(pixels: Shaped[np.ndarray, "..."], name: str, size: int) -> SquareImage:
    """Return rows x columns of grey levels, 0 (black) to 255 (white), already windowed, padded to a square.

    Raises InputError for arrays of other shapes, types or values.
    """
    if np.ma.isMaskedArray(pixels):
        raise InputError(f"{name}: a masked array, whose mask has no grey level", "fill it, e.g. by `array.filled(0)`")
    pixels = np.asarray(pixels)
    if pixels.ndim != 2 or not pixels.size or pixels.dtype.kind not in "iuf":
        raise InputError(f"{name}: pixels are {pixels.dtype} of shape {pixels.shape}", "give rows x columns of numbers")
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 255:
        raise InputError(f"{name}: grey levels are outside 0 (black) to 255 (white)", "apply a window first")
    return fit_into_square(pixels.astype(np.float32), 1.0, size)


def _square(item: tuple[str, bytes | Path], settings: RadiographSettings) -> SquareImage | str:
    """Read one file in the child; a refusal is returned as its text."""
    name, source = item
    cv2.setNumThreads(1)
    try:
        data = source if isinstance(source, bytes) else read_file(source, settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns about quirks that most files of a vendor have
            return read_radiograph(data, None, settings).square(settings.size)
    except RejectionError as rejection:
        return f"{name}: {rejection.reason.replace('_', ' ')}: {rejection}"
    except InputError as error:
        return str(error)

"""A radiograph as grey values with its geometry, and its conversion to a square image.

The square has square pixels; the long side becomes `size`, and black padding surrounds the centred image. Colour is
converted to grey as unrounded luma.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float32, Integer, UInt8

from .display import WHITE, Levels


@dataclass(frozen=True)
class ContentBox:
    """Position of the image inside the square, in pixels of the square."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class SquareImage:
    """A square grey image (0 black, 255 white) and the position of its content."""

    pixels: UInt8[np.ndarray, "size size"]
    content: ContentBox


def content_box(rows: int, columns: int, pixel_aspect: float, size: int) -> ContentBox:
    """Return the box of an image of `rows` x `columns` pixels in a square of `size`.

    Pixels are `pixel_aspect` times as high as wide. The side that is longer on the patient becomes `size`; the other
    one keeps the proportion, with at least one pixel.
    """
    height, width = rows * pixel_aspect, float(columns)
    longest = max(height, width)
    height, width = (max(1, round(side / longest * size)) for side in (height, width))
    return ContentBox((size - width) // 2, (size - height) // 2, width, height)


def fit_into_square(grey: Float32[np.ndarray, "rows columns"], pixel_aspect: float, size: int) -> SquareImage:
    """Resample `grey` (0 to 255) to square pixels, long side `size`, and pad it with black to a square.

    Rounding happens once, at the end: the error against the exact mean over each pixel's area is at most half a grey
    level (plus that of the float32 sums, below 0.001).
    """
    rows, columns = grey.shape
    box = content_box(rows, columns, pixel_aspect, size)
    return place(resample(Levels(grey, 0.0, WHITE), box.height, box.width), box, size)


def place(grey: Float32[np.ndarray, "rows columns"], box: ContentBox, size: int) -> SquareImage:
    """Place an image of the size of `box` in a black square, rounded to whole grey levels."""
    pixels = np.zeros((size, size), dtype=np.uint8)
    pixels[box.y : box.y + box.height, box.x : box.x + box.width] = np.rint(grey).clip(0, 255)
    return SquareImage(pixels, box)


def resample(levels: Levels, height: int, width: int) -> Float32[np.ndarray, "{height} {width}"]:
    """Return the grey levels of a resampled image: area means along an axis that shrinks, linear along one that grows.

    The axes are treated one after the other because cv2's INTER_AREA falls back to linear (and so aliases the axis that
    shrinks) as soon as one axis grows. Sums of whole rows are also four times as fast as INTER_AREA at full size, and
    more exact: float32 adds integers of 16 bits without rounding, up to 256 rows of them.
    """
    rows, columns = levels.values.shape
    means = _means_of_rows(levels, height) if height < rows else levels.linear().astype(np.float32)
    means = cv2.resize(means, (min(width, columns), len(means)), interpolation=cv2.INTER_AREA)
    return levels.to_grey(cv2.resize(means, (width, height), interpolation=cv2.INTER_LINEAR))


_BLOCK_ROWS = 96  # whose values fit into the processor's cache


def _means_of_rows(levels: Levels, bands: int) -> Float32[np.ndarray, "{bands} columns"]:
    """Return the means of linear values over equal bands of rows, which may end between two rows.

    Each row is added to the band in which it ends. Then what it shares with the band before is moved there.
    """
    rows, columns = levels.values.shape
    starts, rest = np.divmod(np.arange(bands + 1) * rows, bands)
    sums = np.empty((bands, columns), dtype=np.float32)
    at_once = max(1, _BLOCK_ROWS * bands // rows)
    for first in range(0, bands, at_once):
        last = min(first + at_once, bands)
        block = levels.linear(slice(starts[first], starts[last]))
        for band in range(first, last):
            part = block[starts[band] - starts[first] : starts[band + 1] - starts[first]]
            if part.dtype == np.float32:  # fractions, which single precision would round at every row
                sums[band] = cv2.reduce(part, 0, cv2.REDUCE_SUM, dtype=cv2.CV_64F)
            else:
                cv2.reduce(part, 0, cv2.REDUCE_SUM, dst=sums[band : band + 1], dtype=cv2.CV_32F)
    if rest.any():
        shared = levels.linear(starts[:-1]).astype(np.float32)
        shared *= (rest[:-1, np.newaxis] / bands).astype(np.float32)
        sums -= shared
        sums[:-1] += shared[1:]
    sums *= np.float32(bands / rows)
    return sums


_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: the Y of YBR_FULL (PS3.3 C.7.6.3.1.2) and of JFIF


def luma(rgb: Integer[np.ndarray, "rows columns 3"]) -> Float32[np.ndarray, "rows columns"]:
    """Return the weighted sum of red, green and blue, unrounded.

    Works in blocks of rows, since three float32 planes would be large.
    """
    grey = np.empty(rgb.shape[:2], dtype=np.float32)
    weights = np.array([_LUMA], dtype=np.float32)
    for start in range(0, len(rgb), 256):
        block = rgb[start : start + 256].astype(np.float32, order="C")
        grey[start : start + 256] = cv2.transform(block, weights).reshape(block.shape[:2])
    return grey


@dataclass(frozen=True)
class Radiograph:
    """The grey image of a file at its original size, and what is known about it."""

    levels: Levels  # rows x columns as stored, or fewer where a reduced size was decoded
    shape: tuple[int, int]  # rows, columns as stored
    view: str | None  # PA, AP, ...; None where neither index nor header names one
    photometric: str  # PhotometricInterpretation as stored
    window: str  # lut | window C/W FUNCTION | minmax | none
    row_spacing: float | None  # mm between the centres of two rows
    column_spacing: float | None  # mm between the centres of two columns
    pixel_aspect: float = 1.0  # height of a pixel / width of a pixel
    instance_uid: str | None = None  # SOPInstanceUID of a DICOM file; None where it is no UID
    sex: str | None = None  # female | male | other, of a DICOM file's header
    age: float | None = None  # years, at most 90, of a DICOM file's header

    def inverted(self) -> "Radiograph":
        """Return the image with black for white: MONOCHROME1 pixels, of which the file itself does not say so."""
        levels = replace(self.levels, black=self.levels.white, white=self.levels.black)
        return replace(self, levels=levels, photometric="MONOCHROME1")

    def square(self, size: int) -> SquareImage:
        """Return the image as a square with square pixels: long side `size`, surrounded by black.

        It is resampled first and scaled to grey afterwards; the order does not matter, since levels are linear in the
        grey.
        """
        box = content_box(*self.shape, self.pixel_aspect, size)
        return place(resample(self.levels, box.height, box.width), box, size)

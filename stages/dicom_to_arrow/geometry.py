"""From any rows x columns to a square: square pixels, long side to `size`, black padding around the centre."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Shaped, UInt8


@dataclass(frozen=True)
class ContentBox:
    """Where the image lies inside the square, in pixels of the square."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class SquareImage:
    pixels: UInt8[np.ndarray, "size size"]
    content: ContentBox


def content_box(rows: int, columns: int, pixel_aspect: float, size: int) -> ContentBox:
    """Box of an image of `rows` x `columns` pixels, each `pixel_aspect` times as high as wide, in a square of `size`.

    The side that is longer on the patient becomes `size`; the other keeps the proportion (at least one pixel).
    """
    height, width = rows * pixel_aspect, float(columns)
    longest = max(height, width)
    height, width = (max(1, round(side / longest * size)) for side in (height, width))
    return ContentBox((size - width) // 2, (size - height) // 2, width, height)


def fit_into_square(grey: Float32[np.ndarray, "rows columns"], pixel_aspect: float, size: int) -> SquareImage:
    """Resample `grey` (0 to 255) to square pixels, long side `size`, and pad it with black to a square.

    Rounding happens once, at the end: the error against the exact mean over each pixel's area is at most half a grey
    level (and the float32 sum's, below 0.001).
    """
    box = content_box(*grey.shape, pixel_aspect, size)
    return place(resample(grey, box.height, box.width), box, size)


def place(grey: Float32[np.ndarray, "rows columns"], box: ContentBox, size: int) -> SquareImage:
    """An image of the size of `box` in a black square, in whole grey levels."""
    pixels = np.zeros((size, size), dtype=np.uint8)
    pixels[box.y : box.y + box.height, box.x : box.x + box.width] = np.rint(grey).clip(0, 255)
    return SquareImage(pixels, box)


def resample(
    image: Shaped[np.ndarray, "rows columns"], height: int, width: int
) -> Shaped[np.ndarray, "{height} {width}"]:
    """Mean over areas along an axis that shrinks, linear interpolation along one that grows; of the image's own type.

    The axes are treated one after the other because cv2's INTER_AREA falls back to linear (and so aliases the axis that
    shrinks) as soon as one axis grows.
    """
    rows, columns = image.shape
    if image.dtype == np.uint16 and not rows % 2 and not columns % 2 and rows >= 8 * height and columns >= 8 * width:
        # Means of 2 x 2 first, which is four times as fast. A pixel of the result covers at least 4 x 4 of them, and
        # only those at its border are shared out by halves instead of quarters.
        image = cv2.resize(image, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA)
        rows, columns = image.shape
    shrunk = cv2.resize(image, (min(width, columns), min(height, rows)), interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)

"""Grey values of the training images: their histogram, and the mean and standard deviation that follow from it."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from stages.common.image_store import ImageStore

LEVELS = 256


@dataclass(frozen=True)
class Intensity:
    """Pixels a grey level inside the content boxes: padding is no tissue, and its share depends on the format alone."""

    images: int
    histogram: Int[np.ndarray, "256"]

    @property
    def pixels(self) -> int:
        return int(self.histogram.sum())

    @property
    def mean(self) -> float:
        """Over all pixels, grey values 0..1."""
        return self._sum(1) / (self.pixels * (LEVELS - 1))

    @property
    def standard_deviation(self) -> float:
        """Over all pixels (divided by their number), grey values 0..1.

        n sum k^2 - (sum k)^2 in whole numbers of any size: nothing is lost before the one division.
        """
        count = self.pixels
        return math.sqrt((count * self._sum(2) - self._sum(1) ** 2) / (count * (LEVELS - 1)) ** 2)

    def record(self) -> dict[str, int | float | list[int]]:
        """What the fingerprint says of it."""
        return {
            "images": self.images,
            "pixels": self.pixels,
            "mean": self.mean,
            "standard_deviation": self.standard_deviation,
            "histogram": self.histogram.tolist(),
        }

    def _sum(self, power: int) -> int:
        return sum(level**power * int(pixels) for level, pixels in enumerate(self.histogram))


def count_intensity(store: ImageStore, rows: Int[np.ndarray, "images"], limit: int, seed: int) -> Intensity:
    """Count the images at `rows` of the store, or `limit` of them drawn by `seed`; one image is in memory at a time."""
    if len(rows) > limit:
        rows = np.random.default_rng(seed).choice(rows, limit, replace=False)
    boxes = store.table["content_box"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
    histogram = np.zeros(LEVELS, np.int64)
    for row in np.sort(rows):  # in the order of the files
        x, y, width, height = boxes[row]
        content = store.pixels(int(row))[y : y + height, x : x + width]
        histogram += np.bincount(content.ravel(), minlength=LEVELS)
    return Intensity(len(rows), histogram)

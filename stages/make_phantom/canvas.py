"""Drawing of shapes in thorax units on a grid of pixels, and the pose and exposure of one image.

In thorax units the origin lies on the midline between apices and bases, and 1 is half the inner width of an average
thorax (about 15 cm). x grows to the right of the image, which is the patient's left; y grows downwards. The pose says
where the patient stands in the field, the exposure how film and digitiser respond.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32

cv2.setNumThreads(1)  # the pool of processes is the parallelism

_FRACTION_BITS = 4  # cv2 draws at 1/16 pixel

Points = Float[np.ndarray, "_ 2"]
Paths = Float[np.ndarray, "_ _ 2"]


@dataclass(frozen=True)
class Canvas:
    """A grid of pixels and the affine map `pixel (column, row) = matrix @ (x, y, 1)` onto it."""

    rows: int
    columns: int
    matrix: Float[np.ndarray, "2 3"]

    @cached_property
    def unit(self) -> float:
        """Return the number of pixels per thorax unit."""
        (a, b), (c, d) = self.matrix[:, :2].tolist()
        return abs(a * d - b * c) ** 0.5

    def fill(self, polygons: Sequence[Points] | Paths, blur: float = 0.0) -> Float32[np.ndarray, "rows columns"]:
        """Return 1 inside the union of the polygons, 0 outside.

        `blur` is the standard deviation of the edge, in units.
        """
        layer = np.zeros((self.rows, self.columns), np.uint8)
        for polygon in self._place(polygons):
            cv2.fillPoly(layer, [polygon], 255, cv2.LINE_AA, _FRACTION_BITS)
        return self._finish(layer, blur)

    def stroke(
        self, lines: Sequence[Points] | Paths, width: float, blur: float = 0.0
    ) -> Float32[np.ndarray, "rows columns"]:
        """Return 1 on lines of `width` units, 0 elsewhere; a line thinner than a pixel is fainter."""
        layer = np.zeros((self.rows, self.columns), np.uint8)
        pixels = width * self.unit
        paths = self._place(lines)
        cv2.polylines(
            layer, paths, False, int(255 * min(1.0, pixels)), max(1, round(pixels)), cv2.LINE_AA, _FRACTION_BITS
        )
        return self._finish(layer, blur)

    @cached_property
    def coordinates(self) -> tuple[Float32[np.ndarray, "rows columns"], Float32[np.ndarray, "rows columns"]]:
        """Return x and y of every pixel's centre, in units."""
        inverse = np.linalg.inv(self.matrix[:, :2])
        row, column = np.indices((self.rows, self.columns), np.float32)
        column -= np.float32(self.matrix[0, 2])
        row -= np.float32(self.matrix[1, 2])
        (a, b), (c, d) = inverse.astype(np.float32)
        return a * column + b * row, c * column + d * row

    def _place(self, lines: Sequence[Points] | Paths) -> list[np.ndarray]:
        if isinstance(lines, np.ndarray):  # many lines with equal numbers of points: all at once
            return list(self._fixed_point(lines))
        return [self._fixed_point(line) for line in lines]

    def _fixed_point(self, points: Float[np.ndarray, "*n 2"]) -> Int32[np.ndarray, "*n 2"]:
        pixels = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.round(pixels * 2**_FRACTION_BITS).astype(np.int32)

    def _finish(self, layer: np.ndarray, blur: float) -> Float32[np.ndarray, "rows columns"]:
        if blur * self.unit > 0.3:
            layer = cv2.GaussianBlur(layer, (0, 0), blur * self.unit)
        return layer.astype(np.float32) * np.float32(1 / 255)


def canonical_canvas(side: int = 128) -> Canvas:
    """Return the canvas without pose, on which findings are placed, so that a patient's images agree on their place."""
    scale = side / 2.7
    return Canvas(side, side, np.array([[scale, 0.0, side / 2], [0.0, scale, side / 2]]))


def bounding_box(mask: Bool[np.ndarray, "rows columns"]) -> list[int] | None:
    """Return `[x, y, width, height]` of the true pixels, or None where there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]


FrontalView = Literal["PA", "AP"]


@dataclass(frozen=True)
class Exposure:
    """Exposure of one image: everything between the patient's density and the grey levels."""

    view: FrontalView
    gain: float
    gamma: float
    offset: float
    noise: float  # standard deviation of grey, 0 to 1
    sharpness: float  # standard deviation of the blur, thorax units
    unevenness: float  # of the slowly varying background
    collimated: tuple[float, float, float, float]  # black border at top, bottom, left, right: share of the side
    marker: bool  # the technician's letter R or L
    seed: int


def sample_view(rng: np.random.Generator) -> FrontalView:
    """Draw the view of an image, PA in 55 % of cases."""
    return "PA" if rng.random() < 0.55 else "AP"


def sample_exposure(rng: np.random.Generator, view: FrontalView) -> Exposure:
    """Draw an exposure; portable AP images are noisier and less even."""
    portable = view == "AP"
    top, bottom, left, right = map(float, rng.uniform(0.01, 0.05, 4) * (rng.random(4) < 0.12))
    return Exposure(
        view=view,
        gain=rng.uniform(0.86, 1.06),
        gamma=rng.uniform(0.85, 1.2),
        offset=rng.uniform(-0.03, 0.05),
        noise=rng.uniform(0.007, 0.018) * (1.3 if portable else 1.0),
        sharpness=rng.uniform(0.004, 0.009),
        unevenness=rng.uniform(0.01, 0.03) * (1.3 if portable else 1.0),
        collimated=(top, bottom, left, right),
        marker=bool(rng.random() < 0.6),
        seed=int(rng.integers(2**62)),
    )


def sample_canvas(rng: np.random.Generator, rows: int, columns: int, view: FrontalView) -> Canvas:
    """Draw a pose: the thorax is rotated, scaled and moved a little, more so at the bedside."""
    loose = 1.4 if view == "AP" else 1.0
    turn = np.deg2rad(np.clip(rng.normal(0, 1.6 * loose), -6, 6))
    unit = rng.uniform(0.385, 0.445) * min(columns, 1.08 * rows)
    cosine, sine = np.cos(turn) * unit, np.sin(turn) * unit
    x = columns * (0.5 + np.clip(rng.normal(0, 0.013 * loose), -0.04, 0.04))
    y = rows * (0.5 + rng.uniform(-0.03, 0.05))
    return Canvas(rows, columns, np.array([[cosine, -sine, x], [sine, cosine, y]]))

"""How one image was taken: where the patient stands in the field, and how film and digitiser answer."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from stages.make_phantom.canvas import Canvas

FrontalView = Literal["PA", "AP"]


@dataclass(frozen=True)
class Exposure:
    """Everything between the patient's density and the grey levels."""

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
    return "PA" if rng.random() < 0.55 else "AP"


def sample_exposure(rng: np.random.Generator, view: FrontalView) -> Exposure:
    """Draw an exposure; portable AP images are noisier and less even."""
    portable = view == "AP"
    borders = rng.uniform(0.01, 0.05, 4) * (rng.random(4) < 0.12)
    return Exposure(
        view=view,
        gain=rng.uniform(0.86, 1.06),
        gamma=rng.uniform(0.85, 1.2),
        offset=rng.uniform(-0.03, 0.05),
        noise=rng.uniform(0.007, 0.018) * (1.3 if portable else 1.0),
        sharpness=rng.uniform(0.004, 0.009),
        unevenness=rng.uniform(0.01, 0.03) * (1.3 if portable else 1.0),
        collimated=tuple(float(border) for border in borders),  # type: ignore[arg-type]
        marker=bool(rng.random() < 0.6),
        seed=int(rng.integers(2**62)),
    )


def sample_canvas(rng: np.random.Generator, rows: int, columns: int, view: FrontalView) -> Canvas:
    """Place the thorax in the field: turned, scaled and moved a little, more so at the bedside."""
    loose = 1.4 if view == "AP" else 1.0
    turn = np.deg2rad(np.clip(rng.normal(0, 1.6 * loose), -6, 6))
    unit = rng.uniform(0.385, 0.445) * min(columns, 1.08 * rows)
    cosine, sine = np.cos(turn) * unit, np.sin(turn) * unit
    x = columns * (0.5 + np.clip(rng.normal(0, 0.013 * loose), -0.04, 0.04))
    y = rows * (0.5 + rng.uniform(-0.03, 0.05))
    return Canvas(rows, columns, np.array([[cosine, -sine, x], [sine, cosine, y]]))

"""A simple lateral radiograph: it is there so that a reader has to choose frontal views; no finding is drawn on it."""

import numpy as np
from jaxtyping import Float32

from stages.make_phantom.anatomy import Anatomy, Points
from stages.make_phantom.canvas import Canvas
from stages.make_phantom.chest import blend, expose
from stages.make_phantom.pose import Exposure


def draw_lateral(anatomy: Anatomy, canvas: Canvas, exposure: Exposure) -> Float32[np.ndarray, "rows columns"]:
    """0 black to 1 white; the sternum on the left of the image, the spine on its right."""
    top, base = anatomy.apex - 0.05, anatomy.dome_right
    body = canvas.fill([_polygon([(-0.55, -1.5), (-0.85, -0.6), (-0.98, 0.3), (-0.95, 2.5)], 0.95)], blur=0.02)
    lungs = canvas.fill([_lungs(top, base)], blur=0.015)
    heart = canvas.fill([_ellipse(-0.30, base - 0.30, 0.38, 0.40, -0.5)], blur=0.03)
    spine = canvas.fill(
        [_ellipse(0.62 + 0.05 * np.sin(k), top + 0.17 * k, 0.11, 0.07, 0.1) for k in range(14)], blur=0.01
    )
    _, y = canvas.coordinates
    density = blend(body * np.float32(0.62), 0.82, body * np.clip(2 * (y - base), 0, 1))
    density = blend(density, 0.22, lungs)
    density = blend(density, 0.66, heart * np.clip(2 * lungs, 0, 1))
    density += 0.22 * spine + 0.10 * canvas.stroke([_polygon([(-0.74, -0.55), (-0.86, 0.35)], -0.72)], 0.04, blur=0.01)
    density -= 0.12 * canvas.stroke([np.array([[0.05, -1.4], [0.10, anatomy.carina]])], 0.09, blur=0.02) * body
    return expose(density, canvas, exposure)


def _polygon(front: list[tuple[float, float]], back: float) -> Points:
    """A strip between a front edge and a straight back edge at x = `back`."""
    edge = np.array(front)
    return np.concatenate([edge, np.stack([np.full(len(edge), back), edge[::-1, 1]], axis=1)])


def _lungs(top: float, base: float) -> Points:
    angle = np.linspace(np.pi, 2 * np.pi, 40)
    dome = np.stack([0.78 * np.cos(angle), top + 0.55 + 0.55 * np.sin(angle)], axis=1)
    x = np.linspace(0.82, -0.78, 30)
    return np.concatenate([dome, np.stack([x, base + 0.30 * np.clip(x + 0.35, 0, None) ** 1.5], axis=1)])


def _ellipse(x: float, y: float, horizontal: float, vertical: float, turn: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    u, v = horizontal * np.cos(angle), vertical * np.sin(angle)
    return np.stack([x + np.cos(turn) * u - np.sin(turn) * v, y + np.sin(turn) * u + np.cos(turn) * v], axis=1)

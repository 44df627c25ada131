"""Rendering of frontal and lateral radiographs from anatomy and findings, with the truth of what was drawn.

Each finding changes density only where its own layer is above 0, so its box and mask come from what was drawn. Every
random field has its own seed: leaving one finding out changes nothing else. The lateral radiograph is simple and shows
no findings; it exists so that a reader has to choose frontal views.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from .anatomy import SIDES, Anatomy, Points, heart_outline, lung_outline, mediastinum_outline
from .canvas import Canvas, Exposure
from .chest import Layer, blend, bones, expose, lung_markings, soft_tissue
from .contract import Contrast
from .devices import Device
from .findings import (
    AnyFinding,
    Cardiomegaly,
    Effusion,
    Nodule,
    Opacity,
    Pneumothorax,
    effusion_outline,
    pleural_line,
    pneumothorax_outline,
)

Kind = TypeVar("Kind")

_CONSOLIDATED, _FLUID = 0.66, 0.76  # densities
_NORMAL_HEART = 0.48  # greatest cardiothoracic ratio without cardiomegaly


@dataclass(frozen=True)
class Radiograph:
    """A drawn image and its truth.

    `display` is 0 black to 1 white. `lungs` are the lung fields with all that lies in them, without heart and
    mediastinum. `masks` are the pixels of each finding, in the order given.
    """

    display: Float32[np.ndarray, "rows columns"]
    lungs: Bool[np.ndarray, "rows columns"]
    masks: tuple[Bool[np.ndarray, "rows columns"], ...]


def draw_frontal(
    anatomy: Anatomy, findings: Sequence[AnyFinding], canvas: Canvas, exposure: Exposure, contrast: Contrast
) -> Radiograph:
    """Draw a frontal radiograph (PA or AP) on `canvas`."""
    film = _Film(anatomy, canvas, exposure, contrast)
    masks: dict[int, np.ndarray] = {}
    for rank, gas in _each(findings, Pneumothorax):  # first: it empties its space of markings
        masks[rank] = film.add_pneumothorax(gas) > 0.5
    film.density += film.markings
    for rank, _ in _each(findings, Cardiomegaly):
        masks[rank] = film.heart > 0.5
    for rank, fluid in _each(findings, Effusion):
        masks[rank] = film.add_effusion(fluid) > 0.3
    for rank, opacity in _each(findings, Opacity):
        masks[rank] = film.add_opacity(opacity) > 0.12
    for rank, nodule in _each(findings, Nodule):
        masks[rank] = film.add_nodule(nodule) > 0.2
    film.density += bones(anatomy, canvas, exposure)
    for rank, device in _each(findings, Device):
        masks[rank] = film.add_device(device) > 0.2
    display = expose(film.density, canvas, exposure)
    return Radiograph(display, film.field > 0.5, tuple(masks[rank] for rank in range(len(findings))))


def _each(findings: Sequence[AnyFinding], kind: type[Kind]) -> Iterator[tuple[int, Kind]]:
    return ((rank, item) for rank, item in enumerate(findings) if isinstance(item, kind))


class _Film:
    """Density of one image while it is drawn; each `add_` returns the layer that it drew, 0 to 1."""

    def __init__(self, anatomy: Anatomy, canvas: Canvas, exposure: Exposure, contrast: Contrast) -> None:
        self.anatomy, self.canvas, self.contrast = anatomy, canvas, contrast
        excess = max(0.0, anatomy.heart_ratio - _NORMAL_HEART) * (contrast.cardiomegaly - 1)
        seen = replace(anatomy, heart_ratio=min(anatomy.heart_ratio + excess, 0.85))
        lung = canvas.fill([lung_outline(anatomy, side) for side in SIDES], blur=0.010)
        self.heart: Layer = canvas.fill([heart_outline(seen)], blur=0.012)
        mediastinum = canvas.fill([mediastinum_outline(anatomy)], blur=0.016)
        self.field: Layer = lung * (1 - np.maximum(self.heart, mediastinum))  # where lung is visible
        self.aerated: Layer = self.field  # without the gas around a lung
        self.density: Layer = soft_tissue(anatomy, canvas, lung, self.heart, mediastinum)
        self.markings: Layer = lung_markings(anatomy, canvas, exposure) * self.field

    def add_pneumothorax(self, gas: Pneumothorax) -> Layer:
        """Remove markings, darken a little, and add the thin line of the lung's edge."""
        contrast = np.float32(self.contrast.pneumothorax)
        layer = self.canvas.fill([pneumothorax_outline(self.anatomy, gas)], blur=0.006) * self.field
        line = self.canvas.stroke([pleural_line(self.anatomy, gas)], 0.014, blur=0.004) * self.field
        self.aerated = self.aerated * (1 - layer)
        self.markings *= 1 - np.minimum(contrast, 1) * layer
        self.density += contrast * (0.13 * line - 0.065 * layer)
        return layer

    def add_effusion(self, fluid: Effusion) -> Layer:
        inside = np.minimum(3 * self.field, 1)  # no bright or dark seam along the diaphragm
        layer = self.canvas.fill([effusion_outline(self.anatomy, fluid)], blur=0.022) * inside
        self.density = blend(self.density, _FLUID, np.minimum(layer * np.float32(self.contrast.pleural_effusion), 1))
        return layer

    def add_opacity(self, focus: Opacity) -> Layer:
        """Add a patchy ellipse that fades towards its rim, in aerated lung only."""
        u, v = _ellipse_coordinates(self.canvas, focus.centre, focus.semi_axes, focus.angle)
        profile = np.maximum(1 - u * u - v * v, 0)
        layer = np.clip(1.2 * profile * _patches(focus.seed, u, v), 0, 1) * self.aerated
        share = layer * np.float32(focus.density * self.contrast.lung_opacity)
        self.density = blend(self.density, _CONSOLIDATED, np.minimum(share, 1))
        return layer

    def add_nodule(self, nodule: Nodule) -> Layer:
        """Add a disc with a soft edge."""
        u, v = _ellipse_coordinates(self.canvas, nodule.centre, (nodule.radius, nodule.radius), 0.0)
        layer = np.clip(2.5 * (1 - u * u - v * v), 0, 1) * self.aerated
        self.density += np.float32(0.20 * self.contrast.nodule) * layer
        return layer

    def add_device(self, device: Device) -> Layer:
        layer = self.canvas.stroke(device.paths, device.width, blur=0.003)
        if device.bodies:
            layer = np.maximum(layer, self.canvas.fill(device.bodies, blur=0.004))
        self.density += np.float32(device.density * self.contrast.support_device) * layer
        return layer


def _ellipse_coordinates(
    canvas: Canvas, centre: tuple[float, float], semi_axes: tuple[float, float], angle: float
) -> tuple[Layer, Layer]:
    """Return coordinates along the rotated axes, in which the ellipse is the unit circle."""
    x, y = canvas.coordinates
    x, y = x - np.float32(centre[0]), y - np.float32(centre[1])
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return (cosine * x + sine * y) / np.float32(semi_axes[0]), (cosine * y - sine * x) / np.float32(semi_axes[1])


def _patches(seed: int, u: Layer, v: Layer) -> Layer:
    """Return the texture of consolidation, 0.3 to 1.6, which is fixed to the focus and not to the image."""
    knots = np.random.default_rng(seed).random((10, 10), dtype=np.float32)
    smooth = cv2.GaussianBlur(knots, (0, 0), 0.9)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return 0.3 + 1.3 * cv2.remap(
        smooth, 4.5 + 4.4 * u, 4.5 + 4.4 * v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def draw_lateral(anatomy: Anatomy, canvas: Canvas, exposure: Exposure) -> Float32[np.ndarray, "rows columns"]:
    """Draw a lateral radiograph, 0 black to 1 white.

    The sternum is on the left of the image, the spine on its right.
    """
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
    """Return a strip between a front edge and a straight back edge at x = `back`."""
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

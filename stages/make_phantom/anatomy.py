"""Anatomy of one patient's chest as outlines in thorax units (see canvas.py): lungs, heart, mediastinum, body.

Two numbers give a place inside a lung: t, from 0 at the apex to 1 at the costophrenic angle, and a, the distance from
the midline, positive on both sides. The patient's right side lies at negative x, on the left of the image.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float

Side = Literal["right", "left"]
SIDES: tuple[Side, Side] = ("right", "left")
SIGN: dict[Side, float] = {"right": -1.0, "left": 1.0}

Zone = Literal["upper", "mid", "lower"]
ZONES: tuple[Zone, Zone, Zone] = ("upper", "mid", "lower")

Points = Float[np.ndarray, "_ 2"]


@dataclass(frozen=True)
class Anatomy:
    """Dimensions that differ between patients, in thorax units."""

    half_width: float  # midline to the lateral edge of a lung
    apex: float  # y of the lung apices
    dome_right: float  # y of the top of the diaphragm
    dome_left: float
    angle_depth: float  # costophrenic angle below the dome
    mediastinum: float  # half-width
    midline: float  # x of heart and trachea; off the centre for a rotated patient
    heart_ratio: float  # cardiothoracic ratio: width of the heart / inner width of the thorax
    heart_height: float
    heart_tilt: float  # radians
    rib_pitch: float
    rib_drop: float  # descent of a posterior rib from spine to side
    clavicle_rise: float
    body_half_width: float
    carina: float  # y
    marking: float  # strength of the lung markings, 1 is average
    female: bool
    millimetres: float  # of one thorax unit
    seed: int  # of the vessel tree

    def dome(self, side: Side) -> float:
        """Return y of the top of the diaphragm on one side."""
        return self.dome_right if side == "right" else self.dome_left

    def angle(self, side: Side) -> float:
        """Return y of the costophrenic angle, where t = 1."""
        return self.dome(side) + self.angle_depth

    @property
    def lung_width(self) -> float:
        """Return the horizontal width of a lung."""
        return self.half_width - self.mediastinum

    @property
    def low_volumes(self) -> bool:
        """Return whether the lungs are short, which reports mention."""
        return self.dome_right - self.apex < 1.22


def sample_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a patient's anatomy with a heart of normal size."""
    dome_right = rng.uniform(0.36, 0.62)
    return Anatomy(
        half_width=rng.uniform(0.90, 1.0),
        apex=rng.uniform(-0.94, -0.78),
        dome_right=dome_right,
        dome_left=dome_right + rng.uniform(0.02, 0.11),
        angle_depth=rng.uniform(0.22, 0.34),
        mediastinum=rng.uniform(0.15, 0.21),
        midline=float(np.clip(rng.normal(0, 0.02), -0.05, 0.05)),
        heart_ratio=rng.uniform(0.39, 0.48),
        heart_height=rng.uniform(0.34, 0.42),
        heart_tilt=rng.uniform(0.15, 0.45),
        rib_pitch=rng.uniform(0.160, 0.190),
        rib_drop=rng.uniform(0.18, 0.38),
        clavicle_rise=rng.uniform(0.16, 0.30),
        body_half_width=rng.uniform(1.14, 1.40),
        carina=rng.uniform(-0.34, -0.24),
        marking=rng.uniform(0.75, 1.3),
        female=bool(rng.random() < 0.48),
        millimetres=rng.uniform(140, 162),
        seed=int(rng.integers(2**62)),
    )


def _rise(u: np.ndarray, power: float) -> np.ndarray:
    """Return a quarter of a superellipse: 0 at u = 0, 1 from u = 1."""
    return (1 - (1 - np.clip(u, 0, 1)) ** power) ** (1 / power)


def _apex_centre(anatomy: Anatomy) -> float:
    return 0.5 * anatomy.half_width - 0.02


def lateral_edge(anatomy: Anatomy, t: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return `a` of the chest wall at `t`."""
    start = _apex_centre(anatomy)
    inward = 0.06 * np.clip((t - 0.7) / 0.3, 0, None) ** 2
    return start + (anatomy.half_width - start) * _rise(t / 0.75, 2.1) - inward


def medial_edge(anatomy: Anatomy, t: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return a of the mediastinal border at t, before the heart covers it."""
    start = _apex_centre(anatomy)
    return start - (start - anatomy.mediastinum) * _rise(t / 0.25, 2.2)


def diaphragm(anatomy: Anatomy, side: Side, a: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return y of the diaphragm at a: a dome that falls steeply to the costophrenic angle."""
    top = 0.42 * anatomy.half_width
    lateral = np.clip((a - top) / (anatomy.half_width - top), 0, None)
    medial = np.clip((top - a) / top, 0, None)
    return anatomy.dome(side) + anatomy.angle_depth * lateral**2.8 + 0.10 * medial**2


def height(anatomy: Anatomy, side: Side, t: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return y at t."""
    return anatomy.apex + t * (anatomy.angle(side) - anatomy.apex)


def zone_limits(anatomy: Anatomy) -> tuple[float, float]:
    """Return the y that separate upper from mid and mid from lower zone: thirds of the lung above the diaphragm."""
    length = anatomy.dome_right - anatomy.apex
    return anatomy.apex + length / 3, anatomy.apex + 2 * length / 3


def zone_of(anatomy: Anatomy, y: float) -> Zone:
    """Return the zone of a height y."""
    upper, lower = zone_limits(anatomy)
    return "upper" if y < upper else "mid" if y < lower else "lower"


def on_side(side: Side, a: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Points:
    """Return the points (x, y) of a side from distances to the midline."""
    return np.stack([SIGN[side] * a, y], axis=1)


def lung_outline(anatomy: Anatomy, side: Side) -> Points:
    """Return the closed outline of a lung as if heart and mediastinum did not cover it."""
    t = np.linspace(0, 1, 48) ** 2
    wall, wall_y = lateral_edge(anatomy, t), height(anatomy, side, t)
    above = wall_y < diaphragm(anatomy, side, wall)
    base = np.linspace(wall[above][-1], anatomy.mediastinum, 32)
    floor = diaphragm(anatomy, side, base)
    inner_y = height(anatomy, side, t)
    inner = inner_y < floor[-1]
    return np.concatenate(
        [
            on_side(side, wall[above], wall_y[above]),
            on_side(side, base, floor),
            on_side(side, medial_edge(anatomy, t)[inner][::-1], inner_y[inner][::-1]),
        ]
    )


def heart_outline(anatomy: Anatomy) -> Points:
    """Return a tilted egg on the diaphragm, a third of its width right of the midline, tapered upwards."""
    width = 2 * anatomy.half_width * anatomy.heart_ratio
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    egg = 1 + 0.10 * np.cos(angle + 0.6)  # broader towards the apex of the heart, down and left
    x, y = width / 2 * np.cos(angle) * egg, anatomy.heart_height * np.sin(angle) * egg
    c, s = np.cos(anatomy.heart_tilt), np.sin(anatomy.heart_tilt)
    x, y = c * x - 0.6 * s * y, 0.6 * s * x + c * y
    x = (x - x.min()) / (x.max() - x.min()) * width - 0.36 * width
    y += anatomy.dome_left - 0.72 * anatomy.heart_height
    base = y.min() - 0.14  # the great vessels leave upwards: the silhouette tapers to the mediastinum
    taper = np.array([[-0.95 * anatomy.mediastinum, base], [1.05 * anatomy.mediastinum, base]])
    points = np.concatenate([np.stack([x, y], axis=1), taper])
    points[:, 0] += anatomy.midline
    return cv2.convexHull(points.astype(np.float32))[:, 0].astype(float)


def mediastinum_outline(anatomy: Anatomy) -> Points:
    """Return great vessels and spine between the lungs, with the aortic knob on the patient's left."""
    y = np.linspace(-1.5, 1.6, 64)
    half = anatomy.mediastinum * (1 - 0.25 * np.exp(-(((y + 0.75) / 0.25) ** 2)))
    knob = 0.10 * np.exp(-(((y - anatomy.carina + 0.08) / 0.10) ** 2))
    right = np.stack([anatomy.midline - half, y], axis=1)
    left = np.stack([anatomy.midline + half + knob, y], axis=1)
    return np.concatenate([right, left[::-1]])


def abdomen_outline(anatomy: Anatomy) -> Points:
    """Return everything below both halves of the diaphragm."""
    a = np.linspace(0, 1.35, 40)
    beyond = 0.9 * np.clip(a - anatomy.half_width, 0, None)  # outside the lungs the wall thickens slowly
    below = {side: np.minimum(diaphragm(anatomy, side, a), anatomy.angle(side)) + beyond for side in SIDES}
    right = on_side("right", a, below["right"])[::-1]
    left = on_side("left", a, below["left"])
    return np.concatenate([right, left, np.array([[1.4, 2.5], [-1.4, 2.5]])])


def body_outline(anatomy: Anatomy) -> Points:
    """Return neck, shoulders and trunk, which the field of view cuts off."""
    wide = anatomy.body_half_width
    top = anatomy.apex
    edge = [(0.26, top - 1.4), (0.28, top - 0.32), (0.42, top - 0.20), (1.10, top - 0.06), (wide + 0.10, top + 0.22)]
    edge += [(wide, top + 0.75), (wide - 0.03, top + 1.5), (wide + 0.05, 2.6)]
    half = np.array(edge)
    return np.concatenate([half, (half * [-1.0, 1.0])[::-1]])

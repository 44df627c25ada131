"""Findings of one study: their kinds, their places in thorax units, and which ones a study has.

Findings are placed once, in the thorax without pose, so that two images of one study show the same ones.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import cv2
import numpy as np
from jaxtyping import Float32

from .anatomy import (
    SIDES,
    SIGN,
    ZONES,
    Anatomy,
    Points,
    Side,
    Zone,
    diaphragm,
    heart_outline,
    height,
    lateral_edge,
    lung_outline,
    medial_edge,
    mediastinum_outline,
    on_side,
    zone_limits,
)
from .canvas import Canvas, canonical_canvas
from .contract import FINDINGS, Finding, Prevalence
from .devices import Device, sample_devices

Size = Literal["small", "moderate", "large"]
_SIZES: tuple[Size, ...] = get_args(Size)


@dataclass(frozen=True)
class Opacity:
    """One focus of consolidation: a blurred, patchy ellipse."""

    finding: ClassVar[Finding] = "lung_opacity"
    side: Side
    zone: Zone
    size: Size
    centre: tuple[float, float]
    semi_axes: tuple[float, float]  # horizontal, and vertical before rotation
    angle: float  # radians
    density: float  # at its centre, 0 to 1
    seed: int  # of its texture


@dataclass(frozen=True)
class Nodule:
    """A round nodule."""

    finding: ClassVar[Finding] = "nodule"
    side: Side
    zone: Zone
    size: Size
    centre: tuple[float, float]
    radius: float
    diameter_cm: float


@dataclass(frozen=True)
class Pneumothorax:
    """Air between chest wall and lung.

    The lung's edge lies `drop` (share of t) below the apex and `gap` (share of the lung's width) away from the wall,
    and meets the wall at t = `end`.
    """

    finding: ClassVar[Finding] = "pneumothorax"
    side: Side
    zone: Zone | None  # upper: apical; None: along the whole wall
    size: Size
    drop: float
    gap: float
    end: float
    apical_cm: float


@dataclass(frozen=True)
class Effusion:
    """Fluid over the diaphragm: a meniscus `depth` units above the costophrenic angle at the wall."""

    finding: ClassVar[Finding] = "pleural_effusion"
    side: Side
    zone: Zone
    size: Size
    depth: float


@dataclass(frozen=True)
class Cardiomegaly:
    """An enlarged heart."""

    finding: ClassVar[Finding] = "cardiomegaly"
    side: None
    zone: None
    size: Size
    ratio: float  # cardiothoracic


AnyFinding = Opacity | Nodule | Pneumothorax | Effusion | Cardiomegaly | Device


def pleural_line(anatomy: Anatomy, gas: Pneumothorax) -> Points:
    """Return the lung's edge from the mediastinum over its top down to where it meets the wall."""
    t = gas.drop + (gas.end - gas.drop) * np.linspace(0, 1, 60) ** 1.5
    closing = np.clip((gas.end - t) / 0.22, 0, 1)
    gap = gas.gap * closing**2 * (3 - 2 * closing)
    share = (1 - gap) * (1 - (1 - np.clip((t - gas.drop) / 0.20, 0, 1)) ** 2.2) ** (1 / 2.2)
    inner, outer = medial_edge(anatomy, t), lateral_edge(anatomy, t)
    return on_side(gas.side, inner + (outer - inner) * share, height(anatomy, gas.side, t))


def pneumothorax_outline(anatomy: Anatomy, gas: Pneumothorax) -> Points:
    """Return the space between the lung's edge and the wall."""
    t = np.linspace(0, 1, 48) ** 2 * gas.end
    wall = on_side(gas.side, lateral_edge(anatomy, t) + 0.01, height(anatomy, gas.side, t) - 0.01)
    t_inner = np.linspace(gas.drop, 0, 16)
    inner = on_side(gas.side, medial_edge(anatomy, t_inner) - 0.01, height(anatomy, gas.side, t_inner) - 0.01)
    return np.concatenate([inner, wall, pleural_line(anatomy, gas)[::-1]])


def effusion_outline(anatomy: Anatomy, fluid: Effusion) -> Points:
    """Return the outline from the meniscus, which rises to the wall, down past the diaphragm."""
    a = np.linspace(0.05, anatomy.half_width + 0.05, 40)
    rise = np.clip((a - anatomy.mediastinum) / anatomy.lung_width, 0, 1) ** 2.5
    level = anatomy.angle(fluid.side) - fluid.depth * (0.62 + 0.38 * rise)
    floor = diaphragm(anatomy, fluid.side, a) + 0.10
    return np.concatenate([on_side(fluid.side, a, np.minimum(level, floor)), on_side(fluid.side, a, floor)[::-1]])


def sample_findings(
    rng: np.random.Generator,
    anatomy: Anatomy,
    prevalence: Prevalence,
    opacity_radius: tuple[float, float],
) -> tuple[Anatomy, list[AnyFinding]]:
    """Draw the findings of one study, in the order of `FINDINGS`; return them with the anatomy.

    The anatomy's heart is enlarged where the study has cardiomegaly.
    """
    present = {finding: bool(rng.random() < getattr(prevalence, finding)) for finding in FINDINGS}
    found: list[AnyFinding] = []
    if present["cardiomegaly"]:
        heart = _sample_cardiomegaly(rng)
        anatomy = replace(anatomy, heart_ratio=heart.ratio, heart_height=anatomy.heart_height * 1.12)
        found.append(heart)
    if present["pneumothorax"]:
        found += _sample_pneumothorax(rng, anatomy)
    if present["pleural_effusion"]:
        found += _sample_effusion(rng, anatomy)
    free = FreeLung(anatomy, found)
    if present["lung_opacity"]:
        found += _sample_opacities(rng, anatomy, free, opacity_radius)
    if present["nodule"]:
        found += _sample_nodules(rng, anatomy, free)
    if present["support_device"]:
        found += sample_devices(rng, anatomy)
    return anatomy, sorted(found, key=lambda item: FINDINGS.index(item.finding))


class FreeLung:
    """Lung in which a focus can be seen: not covered by heart, fluid, gas or an earlier focus."""

    def __init__(self, anatomy: Anatomy, found: list[AnyFinding]) -> None:
        self.anatomy = anatomy
        self.canvas: Canvas = canonical_canvas()
        covered = [heart_outline(anatomy), mediastinum_outline(anatomy)]
        covered += [pneumothorax_outline(anatomy, item) for item in found if isinstance(item, Pneumothorax)]
        covered += [effusion_outline(anatomy, item) for item in found if isinstance(item, Effusion)]
        lungs = self.canvas.fill([lung_outline(anatomy, side) for side in SIDES])
        self.free: Float32[np.ndarray, "rows columns"] = lungs * (1 - self.canvas.fill(covered))

    def place(
        self, rng: np.random.Generator, side: Side, zone: Zone, semi_axes: tuple[float, float]
    ) -> tuple[float, float] | None:
        """Return a centre in the region around which at least 3/4 of the ellipse's bounding box is free, or None."""
        size = [max(3, round(2 * axis * self.canvas.unit) | 1) for axis in semi_axes]
        around = cv2.blur(self.free, size, borderType=cv2.BORDER_CONSTANT)
        x, y = self.canvas.coordinates
        upper, lower = zone_limits(self.anatomy)
        rank = (y >= upper).astype(np.int8) + (y >= lower)
        places = np.flatnonzero((around > 0.75) & (rank == ZONES.index(zone)) & (x * SIGN[side] > 0))
        if not len(places):
            return None
        choice = places[rng.integers(len(places))]
        return float(x.flat[choice]), float(y.flat[choice])

    def cover(self, centre: tuple[float, float], semi_axes: tuple[float, float]) -> None:
        """Mark an ellipse as covered."""
        x, y = self.canvas.coordinates
        inside = ((x - centre[0]) / semi_axes[0]) ** 2 + ((y - centre[1]) / semi_axes[1]) ** 2 < 1
        self.free = np.where(inside, np.float32(0), self.free)


def _regions(rng: np.random.Generator) -> list[tuple[Side, Zone]]:
    """Return the six regions in random order, lower ones earlier."""
    regions = [(side, zone) for side in SIDES for zone in ZONES]
    weights = np.array([{"upper": 0.27, "mid": 0.30, "lower": 0.43}[zone] / 2 for _, zone in regions])
    order = rng.choice(len(regions), len(regions), replace=False, p=weights / weights.sum())
    return [regions[rank] for rank in order]


def _sample_opacities(
    rng: np.random.Generator, anatomy: Anatomy, free: FreeLung, radius: tuple[float, float]
) -> list[Opacity]:
    """Draw one to three foci in different regions; where no region has room, smaller ones are tried."""
    wanted = int(rng.choice([1, 2, 3], p=[0.62, 0.25, 0.13]))
    found: list[Opacity] = []
    for shrink in (1.0, 0.7, 0.5, 0.35):
        for side, zone in _regions(rng):
            if len(found) == wanted or any((item.side, item.zone) == (side, zone) for item in found):
                continue
            share = rng.uniform(*radius) * shrink
            semi_axes = (share * anatomy.lung_width, share * anatomy.lung_width * rng.uniform(0.8, 1.45))
            centre = free.place(rng, side, zone, semi_axes)
            if centre is None:
                continue
            free.cover(centre, semi_axes)
            size: Size = "small" if share < 0.18 else "moderate" if share < 0.27 else "large"
            turn, density, seed = rng.uniform(-0.6, 0.6), rng.uniform(0.7, 1.0), int(rng.integers(2**62))
            found.append(Opacity(side, zone, size, centre, semi_axes, turn, density, seed))
        if found:
            return found
    raise AssertionError("a chest without room for one opacity")  # the upper lungs are never covered on both sides


def _sample_nodules(rng: np.random.Generator, anatomy: Anatomy, free: FreeLung) -> list[Nodule]:
    found: list[Nodule] = []
    wanted = 2 if rng.random() < 0.15 else 1
    for side, zone in _regions(rng):
        diameter_cm = round(rng.uniform(0.8, 2.6), 1)
        radius = diameter_cm * 10 / anatomy.millimetres / 2
        centre = free.place(rng, side, zone, (1.4 * radius, 1.4 * radius))
        if centre is not None and len(found) < wanted:
            free.cover(centre, (1.5 * radius, 1.5 * radius))
            size: Size = "small" if diameter_cm < 1.3 else "moderate" if diameter_cm < 2.0 else "large"
            found.append(Nodule(side, zone, size, centre, radius, diameter_cm))
    assert found, "a chest without room for one nodule"
    return found


def _sample_pneumothorax(rng: np.random.Generator, anatomy: Anatomy) -> list[Pneumothorax]:
    """Draw gas on one side, or in a tenth of the patients on both, where it is small or moderate."""
    both = rng.random() < 0.10
    sides: list[Side] = list(SIDES) if both else [SIDES[int(rng.random() < 0.45)]]
    found = []
    for side in sides:
        size = _SIZES[int(rng.choice(len(_SIZES), p=[0.6, 0.4, 0] if both else [0.35, 0.4, 0.25]))]
        drop, gap, end = {
            "small": (rng.uniform(0.08, 0.12), rng.uniform(0.10, 0.14), rng.uniform(0.55, 0.75)),
            "moderate": (rng.uniform(0.12, 0.19), rng.uniform(0.15, 0.22), rng.uniform(0.80, 1.0)),
            "large": (rng.uniform(0.19, 0.31), rng.uniform(0.26, 0.42), rng.uniform(1.0, 1.15)),
        }[size]
        apical_cm = round(drop * (anatomy.angle(side) - anatomy.apex) * anatomy.millimetres / 10, 1)
        found.append(Pneumothorax(side, "upper" if end < 0.8 else None, size, drop, gap, end, apical_cm))
    return found


def _sample_effusion(rng: np.random.Generator, anatomy: Anatomy) -> list[Effusion]:
    """Draw fluid on one side, or in three of ten patients on both, where it is never large."""
    both = rng.random() < 0.30
    sides: list[Side] = list(SIDES) if both else [SIDES[int(rng.random() < 0.5)]]
    found = []
    for side in sides:
        size = _SIZES[int(rng.choice(len(_SIZES), p=[0.65, 0.35, 0] if both else [0.45, 0.35, 0.2]))]
        rise = {"small": (0.10, 0.20), "moderate": (0.32, 0.48), "large": (0.62, 0.85)}[size]
        found.append(Effusion(side, "lower", size, anatomy.angle_depth + rng.uniform(*rise)))
    return found


def _sample_cardiomegaly(rng: np.random.Generator) -> Cardiomegaly:
    ratio = rng.uniform(0.56, 0.69)
    size: Size = "small" if ratio < 0.60 else "moderate" if ratio < 0.65 else "large"
    return Cardiomegaly(None, None, size, ratio)

"""Bones, airways and vessels of one patient as polygons and lines in thorax units."""

import numpy as np

from .anatomy import SIDES, SIGN, Anatomy, Points, Side, lateral_edge, on_side
from .canvas import Paths


def _band(side: Side, a: np.ndarray, y: np.ndarray, thickness: float) -> Points:
    """Return a strip of constant height along (a, y)."""
    return np.concatenate([on_side(side, a, y - thickness / 2), on_side(side, a, y + thickness / 2)[::-1]])


def _both_sides(a: np.ndarray, y: np.ndarray, thickness: float) -> Paths:
    """Return closed strips of constant height along the rows of (a, y), on the left side and mirrored."""
    x = np.concatenate([a, a[:, ::-1]], axis=1)
    outline = np.stack([x, np.concatenate([y - thickness / 2, y[:, ::-1] + thickness / 2], axis=1)], axis=-1)
    return np.concatenate([outline, outline * [-1.0, 1.0]])


def _wall_at(anatomy: Anatomy, y: np.ndarray) -> np.ndarray:
    t = (y - anatomy.apex) / (anatomy.angle("left") - anatomy.apex)
    return lateral_edge(anatomy, np.clip(t, 0, 1))


def posterior_ribs(anatomy: Anatomy) -> Paths:
    """Return ten ribs per side: from the spine slightly upwards, then down to the side."""
    rank = np.arange(10)[:, None]
    start = anatomy.apex + 0.06 + rank * anatomy.rib_pitch
    drop = anatomy.rib_drop * (0.5 + 0.06 * rank)
    wall = _wall_at(anatomy, (start + drop)[:, 0])[:, None] + 0.05
    u = np.linspace(0, 1, 24)  # ribs along the first axis, points along the second
    return _both_sides(0.10 + (wall - 0.10) * u, start - 0.05 * np.sin(np.pi * u) + drop * u**2.2, 0.058)


def anterior_ribs(anatomy: Anatomy) -> Paths:
    """Return six fainter ribs per side: from the wall down to the cartilage, which is invisible."""
    rank = np.arange(6)[:, None]
    end = anatomy.apex + 0.30 + rank * 1.08 * anatomy.rib_pitch
    wall = _wall_at(anatomy, end[:, 0])[:, None] + 0.04
    u = np.linspace(1, 0, 20)
    return _both_sides(wall + (0.36 + 0.03 * rank - wall) * u, end + 0.34 * u**1.4, 0.072)


def clavicles(anatomy: Anatomy) -> list[Points]:
    """Return the clavicles: from beside the midline outwards and up, slightly S-shaped."""
    a = np.linspace(0.10, 0.92, 24)
    u = (a - a[0]) / (a[-1] - a[0])
    y = anatomy.apex + 0.26 - anatomy.clavicle_rise * u + 0.03 * np.sin(2 * np.pi * u)
    return [_band(side, a, y, 0.062) for side in SIDES]


def scapulae(anatomy: Anatomy) -> list[Points]:
    """Return the shoulder blades, rotated over the lungs as in an anteroposterior view."""
    top = anatomy.apex
    a = np.array([0.74, 1.02, 1.22, 1.16, 0.98, 0.86])
    y = top + np.array([0.30, 0.05, 0.12, 0.42, 1.05, 1.02])
    return [on_side(side, a, y) for side in SIDES]


def vertebrae(anatomy: Anatomy) -> list[Points]:
    """Return the vertebral bodies, one per rib."""
    boxes = []
    for rank in range(-3, 15):
        y = anatomy.apex + 0.06 + rank * anatomy.rib_pitch
        low, high = y - 0.42 * anatomy.rib_pitch, y + 0.36 * anatomy.rib_pitch
        boxes.append(np.array([[-0.105, low], [0.105, low], [0.115, high], [-0.115, high]]))
    return boxes


def airways(anatomy: Anatomy) -> list[Points]:
    """Return the trachea and the two main bronchi, which are filled with air."""
    x, y = anatomy.midline, anatomy.carina
    trachea = np.array([[x - 0.055, -1.5], [x + 0.055, -1.5], [x + 0.06, y], [x - 0.06, y]])
    right = np.array([[x - 0.06, y - 0.07], [x + 0.02, y - 0.04], [x - 0.17, y + 0.17], [x - 0.24, y + 0.12]])
    left = np.array([[x + 0.06, y - 0.06], [x - 0.02, y - 0.02], [x + 0.24, y + 0.17], [x + 0.29, y + 0.11]])
    return [trachea, right, left]


def breasts(rng: np.random.Generator) -> list[Points]:
    """Return soft shadows over the lower lungs."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    size, low = rng.uniform(0.34, 0.48), rng.uniform(0.10, 0.30)
    return [on_side(side, 0.58 + size * np.cos(angle), low + 0.9 * size * np.sin(angle)) for side in SIDES]


def hilum(anatomy: Anatomy, side: Side) -> tuple[float, float]:
    """Return (a, y) of the lung's root; the left one lies higher."""
    return anatomy.mediastinum + 0.05, anatomy.carina + (0.24 if side == "right" else 0.18)


# Width in units and density of the four generations of branches.
VESSEL_WIDTHS = (0.032, 0.022, 0.014, 0.010)
VESSEL_DENSITIES = (0.13, 0.10, 0.075, 0.055)


def vessel_tree(anatomy: Anatomy) -> list[Paths]:
    """Return lung vessels by generation: they leave the hila, fork three times and thin out towards the pleura."""
    rng = np.random.default_rng(anatomy.seed)
    generations: list[list[Paths]] = [[] for _ in VESSEL_WIDTHS]
    for side in SIDES:
        a, y = hilum(anatomy, side)
        count = 10
        heading = np.deg2rad(np.linspace(-82, 80, count) + rng.uniform(-7, 7, count))
        length = (0.30 + 0.10 * np.abs(np.sin(heading))) * rng.uniform(0.8, 1.15, count)
        start = np.array([a, y]) + rng.normal(0, 0.02, (count, 2))
        for rank in range(len(VESSEL_WIDTHS)):
            paths, heading_end = _grow(rng, start, heading, length)
            generations[rank].append(paths * [SIGN[side], 1.0])
            start = np.concatenate([paths[:, -1], paths[:, rng.integers(2, 4)]])
            fork = np.deg2rad(rng.uniform(12, 38, len(heading)))
            heading = np.concatenate([heading_end + fork, heading_end - fork])
            length = np.tile(length, 2) * rng.uniform(0.55, 0.85, 2 * len(length))
    return [np.concatenate(paths) for paths in generations]


def _grow(
    rng: np.random.Generator, start: np.ndarray, heading: np.ndarray, length: np.ndarray, points: int = 6
) -> tuple[Paths, np.ndarray]:
    """Return slightly curved paths from `start`, and their final headings."""
    bend = rng.normal(0, 0.10, (len(start), points - 1)).cumsum(axis=1)
    turned = heading[:, None] + bend
    steps = length[:, None, None] / (points - 1) * np.stack([np.cos(turned), np.sin(turned)], axis=-1)
    path = np.concatenate([start[:, None], start[:, None] + steps.cumsum(axis=1)], axis=1)
    return path, turned[:, -1]

"""Support devices as paths in thorax units: tubes, lines and pacemakers, and the positions that reports state."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Float

from .anatomy import SIDES, SIGN, Anatomy, Points, Side, lateral_edge
from .contract import Finding

Kind = Literal["endotracheal_tube", "enteric_tube", "central_line", "picc", "pacemaker", "chest_tube"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_SHARES = (0.20, 0.16, 0.24, 0.12, 0.16, 0.12)


@dataclass(frozen=True)
class Device:
    """A support device. `paths` are drawn as lines of `width` units, `bodies` as filled outlines."""

    finding: ClassVar[Finding] = "support_device"
    kind: Kind
    side: Side | None
    paths: tuple[Points, ...]
    bodies: tuple[Points, ...]
    width: float
    density: float
    tip_cm: float | None  # of an endotracheal tube, above the carina
    zone: None = None
    size: None = None


def sample_devices(rng: np.random.Generator, anatomy: Anatomy) -> list[Device]:
    """Draw one to three devices of different kinds."""
    count = int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))
    kinds = rng.choice(len(KINDS), count, replace=False, p=_SHARES)
    return [_DRAW[KINDS[kind]](rng, anatomy) for kind in sorted(kinds)]


def smooth(points: list[tuple[float, float]], count: int = 40) -> Float[np.ndarray, "{count} 2"]:
    """Return a Catmull-Rom curve through `points`, evenly spaced in its parameter."""
    knots = np.array([points[0], *points, points[-1]], float)
    place = np.linspace(0, len(points) - 1 - 1e-9, count)
    k, u = place.astype(int), (place % 1)[:, None]
    p0, p1, p2, p3 = knots[k], knots[k + 1], knots[k + 2], knots[k + 3]
    return 0.5 * (2 * p1 + (p2 - p0) * u + (2 * p0 - 5 * p1 + 4 * p2 - p3) * u**2 + (3 * (p1 - p2) + p3 - p0) * u**3)


def _endotracheal_tube(rng: np.random.Generator, anatomy: Anatomy) -> Device:
    tip_cm = round(rng.uniform(2.5, 6.0), 1)
    x, tip = anatomy.midline, anatomy.carina - tip_cm * 10 / anatomy.millimetres
    path = smooth([(x + rng.uniform(-0.03, 0.03), -1.6), (x + 0.01, -1.1), (x, tip)])
    return Device("endotracheal_tube", None, (path,), (), 0.042, 0.14, tip_cm)


def _enteric_tube(rng: np.random.Generator, anatomy: Anatomy) -> Device:
    x, dome = anatomy.midline, anatomy.dome_left
    wander = rng.uniform(-0.03, 0.03)
    path = smooth([(x - 0.02, -1.6), (x + 0.02 + wander, -0.6), (x + 0.03, 0.1), (x + 0.08, dome), (0.38, dome + 0.40)])
    return Device("enteric_tube", None, (path,), (), 0.024, 0.17, None)


def _vena_cava(rng: np.random.Generator, anatomy: Anatomy) -> list[tuple[float, float]]:
    x = anatomy.midline - 0.8 * anatomy.mediastinum
    return [(x - 0.01, anatomy.carina - 0.20), (x, anatomy.carina + rng.uniform(0.05, 0.28))]


def _central_line(rng: np.random.Generator, anatomy: Anatomy) -> Device:
    """Draw an internal jugular catheter: from the neck to the superior vena cava."""
    side = SIDES[int(rng.random() < 0.3)]
    sign, top = SIGN[side], anatomy.apex
    path = smooth([(0.30 * sign, top - 0.45), (0.20 * sign, top - 0.05), *_vena_cava(rng, anatomy)])
    return Device("central_line", side, (path,), (), 0.020, 0.22, None)


def _picc(rng: np.random.Generator, anatomy: Anatomy) -> Device:
    """Draw a PICC: from the arm below the clavicle to the superior vena cava."""
    side = SIDES[int(rng.random() < 0.45)]
    sign, top = SIGN[side], anatomy.apex
    arm = [(1.35 * sign, top + 0.75), (1.10 * sign, top + 0.32), (0.75 * sign, top + 0.16), (0.28 * sign, top + 0.30)]
    return Device("picc", side, (smooth([*arm, *_vena_cava(rng, anatomy)], 60),), (), 0.016, 0.22, None)


def _pacemaker(rng: np.random.Generator, anatomy: Anatomy) -> Device:
    """Draw a generator over the upper chest with leads to the right atrium and ventricle."""
    side = SIDES[int(rng.random() < 0.8)]
    sign, x, y = SIGN[side], 0.72 * SIGN[side], anatomy.apex + rng.uniform(0.34, 0.48)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    can = np.stack([x + 0.13 * np.cos(angle), y + 0.105 * np.sin(angle)], axis=1)
    vein = [(x - 0.05 * sign, y - 0.09), (0.45 * sign, anatomy.apex + 0.18), (0.16 * sign, anatomy.apex + 0.32)]
    cava = (anatomy.midline - 0.14, anatomy.carina + 0.1)
    heart = anatomy.dome_left
    atrium = smooth([*vein, cava, (anatomy.midline - 0.20, heart - 0.35), (anatomy.midline - 0.12, heart - 0.42)], 60)
    ventricle = smooth(
        [*vein, cava, (anatomy.midline - 0.14, heart - 0.25), (anatomy.midline + 0.36, heart - 0.06)], 60
    )
    leads = (atrium, ventricle) if rng.random() < 0.7 else (ventricle,)
    return Device("pacemaker", side, leads, (can,), 0.018, 0.28, None)


def _chest_tube(rng: np.random.Generator, anatomy: Anatomy) -> Device:
    """Draw a chest tube: through the side of the chest wall up towards the apex."""
    side = SIDES[int(rng.random() < 0.45)]
    sign, low = SIGN[side], rng.uniform(0.05, 0.35)
    wall = float(lateral_edge(anatomy, np.array([0.7]))[0])
    tip = (rng.uniform(0.38, 0.55) * sign, anatomy.apex + rng.uniform(0.14, 0.40))
    path = smooth(
        [(1.3 * sign, low + 0.22), ((wall + 0.05) * sign, low + 0.05), ((wall - 0.14) * sign, low - 0.25), tip]
    )
    return Device("chest_tube", side, (path,), (), 0.034, 0.17, None)


_DRAW = {
    "endotracheal_tube": _endotracheal_tube,
    "enteric_tube": _enteric_tube,
    "central_line": _central_line,
    "picc": _picc,
    "pacemaker": _pacemaker,
    "chest_tube": _chest_tube,
}

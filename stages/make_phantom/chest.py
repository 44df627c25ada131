"""The chest without findings, as layers of density: air is 0, bone in front of soft tissue about 1."""

import cv2
import numpy as np
from jaxtyping import Float32

from .anatomy import SIDES, SIGN, Anatomy, abdomen_outline, body_outline
from .bones import (
    VESSEL_DENSITIES,
    VESSEL_WIDTHS,
    airways,
    anterior_ribs,
    breasts,
    clavicles,
    hilum,
    posterior_ribs,
    scapulae,
    vertebrae,
    vessel_tree,
)
from .canvas import Canvas, Exposure

Layer = Float32[np.ndarray, "rows columns"]

SOFT_TISSUE, LUNG, HEART, MEDIASTINUM, ABDOMEN = 0.50, 0.17, 0.72, 0.76, 0.80


def blend(density: Layer, target: float, share: Layer) -> Layer:
    """Return the density moved towards `target` where `share` is above 0."""
    return density + share * (np.float32(target) - density)


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], knots: int) -> Layer:
    """Return a standard normal grid of `knots` x `knots`, smoothly enlarged to `shape`."""
    grid = rng.standard_normal((knots, knots), dtype=np.float32)
    return cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)


def soft_tissue(anatomy: Anatomy, canvas: Canvas, lung: Layer, heart: Layer, mediastinum: Layer) -> Layer:
    """Return body, lungs, heart, great vessels and abdomen, without bones and lung markings."""
    rng = np.random.default_rng(anatomy.seed + 1)
    x, y = canvas.coordinates
    body = canvas.fill([body_outline(anatomy)], blur=0.02)
    thick = np.float32(SOFT_TISSUE) + 0.10 * np.clip(np.abs(x) - 0.8, 0, 0.5) + 0.06 * np.clip(y + 0.2, -0.5, 1.0)
    density = body * thick
    density = blend(density, ABDOMEN, body * canvas.fill([abdomen_outline(anatomy)], blur=0.012))
    bubble = rng.uniform(0.30, 0.55), anatomy.dome_left + rng.uniform(0.12, 0.18)
    gas = canvas.fill([_ellipse(*bubble, rng.uniform(0.10, 0.20), rng.uniform(0.05, 0.08))], blur=0.02)
    density -= np.float32(rng.uniform(0.0, 0.30)) * gas
    density = blend(density, LUNG, lung)
    density += lung * (0.05 * np.clip(y - 0.1, 0, 1) + 0.02 * np.clip(-y - 0.5, 0, 1))  # thicker wall below
    if anatomy.female:
        density += np.float32(rng.uniform(0.03, 0.08)) * canvas.fill(breasts(rng), blur=0.02)
    neck = np.clip((y - anatomy.apex + 0.5) / 0.8, 0.35, 1)  # thinner above the chest
    density = blend(density, MEDIASTINUM, mediastinum * body * neck)
    density = blend(density, HEART, heart * np.float32(0.94))
    return density - 0.13 * canvas.fill(airways(anatomy), blur=0.014) * body


def lung_markings(anatomy: Anatomy, canvas: Canvas, exposure: Exposure) -> Layer:
    """Return vessels that thin out from the hila to the pleura, and fine interstitial texture."""
    layer = np.zeros((canvas.rows, canvas.columns), np.float32)
    for paths, width, density in zip(vessel_tree(anatomy), VESSEL_WIDTHS, VESSEL_DENSITIES, strict=True):
        np.maximum(layer, np.float32(density) * canvas.stroke(paths, width, blur=0.004), out=layer)
    roots = [_ellipse(SIGN[side] * a, y, 0.10, 0.16) for side in SIDES for a, y in [hilum(anatomy, side)]]
    layer += 0.09 * canvas.fill(roots, blur=0.05)
    rng = np.random.default_rng(exposure.seed + 1)
    coarse = (canvas.rows + 1) // 2, (canvas.columns + 1) // 2
    grain = cv2.GaussianBlur(rng.standard_normal(coarse, dtype=np.float32), (0, 0), max(0.3, 0.008 * canvas.unit))
    grain = cv2.resize(grain, layer.shape[::-1], interpolation=cv2.INTER_LINEAR)
    scaled = grain * np.float32(0.020 / float(grain.std()))
    return np.float32(anatomy.marking) * (layer + scaled)


def bones(anatomy: Anatomy, canvas: Canvas, exposure: Exposure) -> Layer:
    """Return spine, ribs and clavicles; in AP views the shoulder blades lie over the lungs."""
    _, y = canvas.coordinates
    ribs = posterior_ribs(anatomy)
    layer = 0.060 * canvas.fill(ribs, blur=0.008)
    layer += 0.045 * canvas.stroke(ribs, 0.010)  # the cortex
    layer += 0.035 * canvas.fill(anterior_ribs(anatomy), blur=0.014)
    layer *= np.clip((anatomy.dome_left + 0.35 - y) / 0.5, 0.3, 1)  # lost in the abdomen
    layer += 0.110 * canvas.fill(clavicles(anatomy), blur=0.008)
    layer += 0.050 * canvas.fill(vertebrae(anatomy), blur=0.010)
    if exposure.view == "AP":
        layer += 0.035 * canvas.fill(scapulae(anatomy), blur=0.012)
    return layer


def expose(density: Layer, canvas: Canvas, exposure: Exposure) -> Layer:
    """Return grey levels of a density, 0 black, 1 white.

    The steps are blur, uneven field, response curve, noise, collimation and marker.
    """
    rng = np.random.default_rng(exposure.seed)
    density = cv2.GaussianBlur(density, (0, 0), max(0.3, exposure.sharpness * canvas.unit))
    density = density + np.float32(exposure.unevenness) * smooth_field(rng, density.shape, 4)
    grey = exposure.gain * np.clip(density, 0, 1.3) ** np.float32(exposure.gamma) + exposure.offset
    noise = rng.standard_normal(grey.shape, dtype=np.float32)
    grey += np.float32(exposure.noise) * (0.6 * noise + 0.9 * cv2.GaussianBlur(noise, (0, 0), 0.7))
    if exposure.marker:
        grey = _mark_side(grey, rng)
    top, bottom, left, right = exposure.collimated
    rows, columns = grey.shape
    grey[: round(top * rows)] = grey[rows - round(bottom * rows) :] = 0
    grey[:, : round(left * columns)] = grey[:, columns - round(right * columns) :] = 0
    return np.clip(grey, 0, 1)


# Strokes of the letters in a cell of 1 x 1, y downwards.
_LETTERS = {
    "L": [(0.0, 0.0), (0.0, 1.0), (0.6, 1.0)],
    "R": [
        (0.0, 1.0),
        (0.0, 0.0),
        (0.45, 0.0),
        (0.6, 0.12),
        (0.6, 0.38),
        (0.45, 0.5),
        (0.0, 0.5),
        (0.3, 0.5),
        (0.6, 1.0),
    ],
}


def _mark_side(grey: Layer, rng: np.random.Generator) -> Layer:
    """Draw the letter of a patient's side in the upper corner: R on the left of the image, L on the right."""
    rows, columns = grey.shape
    letter, x = ("R", rng.uniform(0.05, 0.09)) if rng.random() < 0.5 else ("L", rng.uniform(0.87, 0.91))
    corner, size = np.array([x * columns, rng.uniform(0.05, 0.11) * rows]), 0.045 * rows
    mark = np.zeros(grey.shape, np.uint8)
    path = np.round((np.array(_LETTERS[letter]) * size + corner) * 16).astype(np.int32)
    cv2.polylines(mark, [path], False, 255, max(1, rows // 128), cv2.LINE_AA, 4)
    return np.maximum(grey, mark * np.float32(1 / 255))


def _ellipse(x: float, y: float, horizontal: float, vertical: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + horizontal * np.cos(angle), y + vertical * np.sin(angle)], axis=1)

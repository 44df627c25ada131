"""How well a map agrees with a region beyond its peak: contrast-to-noise ratio, and IoU at a threshold."""

import numpy as np
from jaxtyping import Bool, Float, Int

THRESHOLDS = np.arange(1, 20) / 20  # of the map scaled to 0..1 over the content of its image


def contrast_to_noise(
    maps: Float[np.ndarray, "images rows columns"],
    regions: Bool[np.ndarray, "images rows columns"],
    content: Bool[np.ndarray, "images rows columns"],
) -> Float[np.ndarray, "images"]:
    """(mean inside - mean outside) / sqrt(var inside + var outside), over the content (Boecking et al., ECCV 2022).

    With its sign, so that a map that is darkest on the finding is not praised; 0 where a map has no noise at all.
    """
    return np.array([_contrast(*each) for each in zip(maps, regions, content, strict=True)])


def _contrast(
    values: Float[np.ndarray, "rows columns"],
    region: Bool[np.ndarray, "rows columns"],
    content: Bool[np.ndarray, "rows columns"],
) -> float:
    inside, outside = values[region & content], values[content & ~region]
    if not len(inside) or not len(outside):
        return 0.0
    noise = np.sqrt(inside.var(dtype=np.float64) + outside.var(dtype=np.float64))
    difference = inside.mean(dtype=np.float64) - outside.mean(dtype=np.float64)
    return float(difference / noise) if noise > 0 else 0.0


def ious(
    maps: Float[np.ndarray, "images rows columns"],
    regions: Bool[np.ndarray, "images rows columns"],
    content: Bool[np.ndarray, "images rows columns"],
) -> Float[np.ndarray, "images thresholds"]:
    """IoU of `scaled map >= threshold` with the region, at each of THRESHOLDS; a flat map is 0 everywhere."""
    return np.stack([_ious(*each) for each in zip(maps, regions, content, strict=True)])


def _ious(
    values: Float[np.ndarray, "rows columns"],
    region: Bool[np.ndarray, "rows columns"],
    content: Bool[np.ndarray, "rows columns"],
) -> Float[np.ndarray, "thresholds"]:
    inside, own = values[content].astype(np.float64), region[content]
    low, high = inside.min(), inside.max()
    scaled = (inside - low) / (high - low) if high > low else np.zeros_like(inside)
    reached = np.searchsorted(THRESHOLDS, scaled, side="right")  # how many thresholds a pixel reaches
    predicted, both = _at_least(reached), _at_least(reached[own])
    return both / np.maximum(1, predicted + region.sum() - both)


def _at_least(reached: Int[np.ndarray, "pixels"]) -> Int[np.ndarray, "thresholds"]:
    """Number of pixels that reach each threshold."""
    counts = np.bincount(reached, minlength=len(THRESHOLDS) + 1)
    return counts[::-1].cumsum()[::-1][1:]


def best_threshold(validation: Float[np.ndarray, "images thresholds"]) -> int:
    """Place in THRESHOLDS of the largest mean IoU; of several, the lowest. For validation images only."""
    return int(validation.mean(axis=0).argmax())

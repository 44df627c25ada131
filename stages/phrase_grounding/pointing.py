"""The pointing game and what it has to beat (Zhang et al., IJCV 2018): does the peak of a map hit the finding?"""

import numpy as np
from jaxtyping import Bool, Float

# No tolerance: Zhang et al. also count a peak that misses a region by at most 15 pixels.


def peak(heatmap: Float[np.ndarray, "rows columns"], allowed: Bool[np.ndarray, "rows columns"]) -> tuple[int, int]:
    """Row and column of the largest value inside `allowed` (the content of a padded image); of several the first."""
    flat = int(np.where(allowed, heatmap, -np.inf).argmax())
    return flat // heatmap.shape[1], flat % heatmap.shape[1]


def hits(
    heatmaps: Float[np.ndarray, "images rows columns"],
    regions: Bool[np.ndarray, "images rows columns"],
    allowed: Bool[np.ndarray, "images rows columns"],
) -> Float[np.ndarray, "images"]:
    """1 where the peak of the heatmap lies in the region, else 0."""
    peaks = [peak(heatmap, inside) for heatmap, inside in zip(heatmaps, allowed, strict=True)]
    return np.array([float(region[place]) for region, place in zip(regions, peaks, strict=True)])


def random_hits(
    regions: Bool[np.ndarray, "images rows columns"], allowed: Bool[np.ndarray, "images rows columns"]
) -> Float[np.ndarray, "images"]:
    """Chance of a hit for a point drawn evenly from `allowed`, lungs or content: no draw needed."""
    inside = (regions & allowed).sum(axis=(1, 2))
    return inside / np.maximum(1, allowed.sum(axis=(1, 2)))

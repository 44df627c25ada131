"""Resampling as a product of matrices in float64: slow, and independent of the code that it judges."""

import numpy as np


def weights(old: int, new: int) -> np.ndarray:
    """Matrix [new, old] of one axis: shares of the area when it shrinks, linear between pixel centres when it grows."""
    left, right = np.arange(new) * old / new, (np.arange(new) + 1) * old / new
    if new <= old:
        pixels = np.arange(old)
        overlap = np.minimum(right[:, None], pixels + 1) - np.maximum(left[:, None], pixels)
        return overlap.clip(0) * new / old
    center = ((left + right) / 2 - 0.5).clip(0, old - 1)  # in pixels of the old axis; the border repeats itself
    return (1 - np.abs(center[:, None] - np.arange(old))).clip(0)


def exact_resample(grey: np.ndarray, height: int, width: int) -> np.ndarray:
    return weights(grey.shape[0], height) @ grey.astype(np.float64) @ weights(grey.shape[1], width).T

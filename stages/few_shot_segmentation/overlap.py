"""Overlaps of probabilities with masks at every threshold, and which threshold a validation chooses."""

import numpy as np
from jaxtyping import Bool, Float, Int

from stages.common.mask_overlaps import Overlaps

THRESHOLDS = np.arange(1, 20) / 20  # probabilities .05, .10 .. .95 that a validation may choose


def count(
    probabilities: Float[np.ndarray, "images size size"], masks: Bool[np.ndarray, "images size size"]
) -> Overlaps:
    """Count pixels at every threshold, by one histogram an image."""
    images = len(masks)
    above = np.searchsorted(THRESHOLDS, probabilities.reshape(images, -1), side="right")  # thresholds that are reached
    flat = masks.reshape(images, -1)
    predicted, both = (
        np.stack([np.bincount(row, weights=part, minlength=len(THRESHOLDS) + 1) for row, part in zip(above, parts)])  # noqa: B905
        for parts in (np.ones_like(flat, dtype=np.float64), flat.astype(np.float64))
    )
    return Overlaps(flat.sum(axis=1), _at_least(predicted), _at_least(both))


def join(parts: list[Overlaps]) -> Overlaps:
    columns = ([getattr(part, name) for part in parts] for name in ("truth", "predicted", "both"))
    return Overlaps(*(np.concatenate(column) for column in columns))


def best_threshold(validation: Overlaps) -> int:
    """Place in THRESHOLDS of the largest mean Dice over all images; of several, the lowest."""
    return int(np.argmax(validation.dice().mean(axis=0)))


def dice_of_positives(validation: Overlaps) -> float:
    """Largest mean Dice, over thresholds, of images with the finding: which weights are kept.

    Over all images, predicting nothing would win the first epochs, and patience would end there.
    """
    return float(validation.dice()[validation.truth > 0].mean(axis=0).max())


def _at_least(histogram: Float[np.ndarray, "images bins"]) -> Int[np.ndarray, "images thresholds"]:
    """From pixels that reach just k thresholds (k from 0) to pixels that reach the k-th (k from 1)."""
    return histogram[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:].round().astype(np.int64)

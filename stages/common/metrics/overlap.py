"""Pixels that truth and prediction share, per image, and the figures that follow from them.

Three numbers per image suffice: pixels of the truth (T), of the prediction (P), and of both (B). Dice is 2 B / (T + P),
IoU is B / (T + P - B); both are 1 where truth and prediction are empty, the convention of the SIIM-ACR challenge. So
predicting nothing scores the share of negatives, which stands beside every Dice over all images.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from .ranking import Metric


@dataclass(frozen=True)
class Overlaps:
    """Pixel counts per image, for pixels predicted at or above each of some probability thresholds."""

    truth: Int[np.ndarray, "images"]
    predicted: Int[np.ndarray, "images thresholds"]
    both: Int[np.ndarray, "images thresholds"]

    def at(self, threshold: int) -> "Overlaps":
        """Return the counts at one threshold, given by its index."""
        return Overlaps(self.truth, self.predicted[:, [threshold]], self.both[:, [threshold]])

    def dice(self) -> Float[np.ndarray, "images thresholds"]:
        """Return the Dice score of each image and threshold."""
        return _share(2 * self.both, self.truth[:, None] + self.predicted)

    def iou(self) -> Float[np.ndarray, "images thresholds"]:
        """Return the intersection over union of each image and threshold."""
        return _share(self.both, self.truth[:, None] + self.predicted - self.both)


def segmentation_metrics(chosen: Overlaps) -> dict[str, Metric]:
    """Return the test part's figures at one threshold, as functions of the weighting.

    Figures over positives are NaN for a draw without positives.
    """
    dice, iou = chosen.dice()[:, 0], chosen.iou()[:, 0]
    positive = chosen.truth > 0
    nothing = (~positive).astype(np.float64)  # Dice of the empty prediction
    everything = np.ones(len(dice), dtype=bool)
    return {
        "dice": partial(_mean, dice, everything),
        "dice_of_positives": partial(_mean, dice, positive),
        "iou_of_positives": partial(_mean, iou, positive),
        "predict_nothing": partial(_mean, nothing, everything),
        "gain_over_nothing": partial(_mean, dice - nothing, everything),
    }


def _mean(
    values: Float[np.ndarray, "images"], part: Bool[np.ndarray, "images"], weights: Float[np.ndarray, "draws images"]
) -> Float[np.ndarray, "draws"]:
    weights = weights[:, part]
    with np.errstate(invalid="ignore"):
        return weights @ values[part] / weights.sum(axis=1)


def _share(part: Int[np.ndarray, "*axes"], whole: Int[np.ndarray, "*axes"]) -> Float[np.ndarray, "*axes"]:
    """Return part / whole; 1 where the whole is empty."""
    return np.divide(part, whole, out=np.ones(whole.shape), where=whole > 0)

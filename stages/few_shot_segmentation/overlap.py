"""Pixels that truth and prediction share, image by image, and the figures that follow from them.

Three numbers an image say everything: pixels of the truth (T), of the prediction (P), and of both (B). Dice is
2 B / (T + P), IoU is B / (T + P - B); both are 1 where truth and prediction are empty, the convention of the SIIM-ACR
challenge. So predicting nothing scores the share of negatives: it stands beside every Dice over all images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

Metric = Callable[[np.ndarray], np.ndarray]  # weights [draws, images] -> values [draws]

THRESHOLDS = np.arange(1, 20) / 20  # probabilities .05, .10 .. .95 that a validation may choose


@dataclass(frozen=True)
class Overlaps:
    """Pixels an image, where a pixel is predicted at a probability of at least one of `THRESHOLDS`."""

    truth: Int[np.ndarray, "images"]
    predicted: Int[np.ndarray, "images thresholds"]
    both: Int[np.ndarray, "images thresholds"]

    def at(self, threshold: int) -> "Overlaps":
        """Those of one threshold, by its place in THRESHOLDS."""
        return Overlaps(self.truth, self.predicted[:, [threshold]], self.both[:, [threshold]])

    def dice(self) -> Float[np.ndarray, "images thresholds"]:
        return _share(2 * self.both, self.truth[:, None] + self.predicted)

    def iou(self) -> Float[np.ndarray, "images thresholds"]:
        return _share(self.both, self.truth[:, None] + self.predicted - self.both)


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


def segmentation_metrics(chosen: Overlaps) -> dict[str, Metric]:
    """Figures of the test part at one threshold as functions of the weighting.

    NaN for a draw without positives where a figure is over positives.
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


def _at_least(histogram: Float[np.ndarray, "images bins"]) -> Int[np.ndarray, "images thresholds"]:
    """From pixels that reach just k thresholds (k from 0) to pixels that reach the k-th (k from 1)."""
    return histogram[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:].round().astype(np.int64)


def _share(part: Int[np.ndarray, "*axes"], whole: Int[np.ndarray, "*axes"]) -> Float[np.ndarray, "*axes"]:
    """part / whole, 1 where the whole is empty."""
    return np.divide(part, whole, out=np.ones(whole.shape), where=whole > 0)

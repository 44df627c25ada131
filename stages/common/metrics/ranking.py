"""Metrics of scores against binary targets, for many weightings at once, and their bootstrap intervals.

A bootstrap draw is a weighting: how often each image was drawn. All draws share one sort, so that 1,000 of them cost
little more than one. Results equal scikit-learn's with `sample_weight`, ties included (tests/stages/common).
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float, Int, Integer, Shaped

from ..records import Estimate

RocCurve = tuple[Float[np.ndarray, "points"], Float[np.ndarray, "points"]]  # false and true positive rates
Metric = Callable[[np.ndarray], np.ndarray]  # weights [draws, images] -> values [draws]

_DRAWS_AT_ONCE = 100  # 100 draws x 30,000 images x 8 bytes = 24 MB


def auc(
    scores: Float[np.ndarray, "images"], targets: Int[np.ndarray, "images"], weights: Float[np.ndarray, "draws images"]
) -> Float[np.ndarray, "draws"]:
    """Return the area under the ROC curve: P(score of a positive > score of a negative) + 1/2 P(equal), weighted.

    Images of another target than 1 and 0 are not counted. NaN for a draw without positives or without negatives.
    """
    order, starts = groups_of_ties(scores)
    positives, negatives = (np.flatnonzero(targets[order] == target) for target in (1, 0))
    if not (len(positives) and len(negatives)):
        return np.full(len(weights), np.nan)
    ends = _tie_of(positives, starts, len(scores))
    # negatives are summed between the ties of positives alone, which are few in a rare finding
    begin, end = (np.searchsorted(negatives, each) for each in ends)
    cuts = np.unique(np.concatenate([[0], begin, end]))
    cuts = cuts[cuts < len(negatives)]
    below = _cumulated(np.add.reduceat(weights[:, order[negatives]], cuts, axis=1))
    positive = weights[:, order[positives]]
    won = (positive * (below[:, np.searchsorted(cuts, begin)] + below[:, np.searchsorted(cuts, end)])).sum(axis=1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return won / (positive.sum(axis=1) * below[:, -1])


def roc_curve(scores: Float[np.ndarray, "images"], targets: Integer[np.ndarray, "images"]) -> RocCurve:
    """Return false and true positive rates from (0, 0) to (1, 1); equal scores are one point, so ties are diagonal.

    Targets other than 0 and 1 do not count.
    """
    positive, negative = (np.append(0, each) for each in _above(scores, targets))
    return negative / negative[-1], positive / positive[-1]


def precision_recall_curve(
    scores: Float[np.ndarray, "images"], targets: Integer[np.ndarray, "images"]
) -> tuple[Float[np.ndarray, "points"], Float[np.ndarray, "points"]]:
    """Return recall, from 0 to 1, and precision; equal scores are one point. At recall 0 stands the first precision.

    Targets other than 0 and 1 do not count.
    """
    positive, negative = _above(scores, targets)
    counted = positive + negative
    precision = np.divide(positive, counted, out=np.ones(len(counted)), where=counted > 0)
    return np.append(0, positive / positive[-1]), np.append(precision[0], precision)


def _above(
    scores: Float[np.ndarray, "images"], targets: Integer[np.ndarray, "images"]
) -> tuple[Int[np.ndarray, "ties"], Int[np.ndarray, "ties"]]:
    """Return the numbers of positives and negatives at or above each different score, from the largest down."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return np.cumsum(targets[order] == 1)[last], np.cumsum(targets[order] == 0)[last]


def average_precision(
    scores: Float[np.ndarray, "images"], targets: Int[np.ndarray, "images"], weights: Float[np.ndarray, "draws images"]
) -> Float[np.ndarray, "draws"]:
    """Return the sum over thresholds of precision times the gain in recall, weighted.

    NaN for a draw without positives.
    """
    order, starts = groups_of_ties(-scores)
    drawn, positives = weights[:, order], np.flatnonzero(targets[order] == 1)
    _, end = _tie_of(positives, starts, len(scores))
    every, positive = _cumulated(drawn)[:, end], drawn[:, positives]
    found = _cumulated(positive)[:, np.searchsorted(positives, end)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return (np.nan_to_num(found / every) * positive).sum(axis=1) / positive.sum(axis=1)


def f1(
    scores: Float[np.ndarray, "images"],
    targets: Int[np.ndarray, "images"],
    weights: Float[np.ndarray, "draws images"],
    threshold: float,
) -> Float[np.ndarray, "draws"]:
    """Return F1 of `score >= threshold`. NaN for a draw without positives, as of the other figures."""
    predicted = scores >= threshold
    present = weights @ (targets == 1).astype(np.float64)
    true_positive = weights @ (predicted & (targets == 1)).astype(np.float64)
    both = weights @ predicted.astype(np.float64) + present
    return np.divide(2 * true_positive, both, out=np.full_like(both, np.nan), where=present > 0)


def accuracy(
    scores: Float[np.ndarray, "images"],
    targets: Int[np.ndarray, "images"],
    weights: Float[np.ndarray, "draws images"],
    threshold: float,
) -> Float[np.ndarray, "draws"]:
    """Return the share of images for which `score >= threshold` agrees with the target. NaN without any image."""
    drawn = weights.sum(axis=1)
    agreeing = weights @ ((scores >= threshold) == (targets == 1)).astype(np.float64)
    return np.divide(agreeing, drawn, out=np.full_like(drawn, np.nan), where=drawn > 0)


def mean_of(values: Float[np.ndarray, "images"]) -> Metric:
    """Return the mean of a figure that every image has, as a function of the weighting."""
    return lambda weights: weights @ values / weights.sum(axis=1)


def mean_over_seeds(metrics: Sequence[Metric]) -> Metric:
    """Return the mean of a figure over repetitions, as a function of the weighting."""
    return metrics[0] if len(metrics) == 1 else lambda weights: np.mean([each(weights) for each in metrics], axis=0)


def classification_metrics(
    scores: Float[np.ndarray, "images"], targets: Int[np.ndarray, "images"], threshold: float
) -> dict[str, Metric]:
    """Return the figures of a classifier as functions of the weighting; F1 and accuracy use `score >= threshold`."""
    return {
        "auc": partial(auc, scores, targets),
        "average_precision": partial(average_precision, scores, targets),
        "f1": lambda weights: f1(scores, targets, weights, threshold),
        "accuracy": lambda weights: accuracy(scores, targets, weights, threshold),
    }


def best_f1_threshold(scores: Float[np.ndarray, "images"], targets: Int[np.ndarray, "images"]) -> float:
    """Return the score at which F1 is largest; of several, the smallest. For validation images only."""
    order, starts = groups_of_ties(scores)
    positive = (targets == 1)[order]
    below = np.concatenate([[0], np.cumsum(positive)])[starts]  # positives with a smaller score
    found, predicted = positive.sum() - below, len(scores) - starts
    return float(scores[order][starts][np.argmax(2 * found / (predicted + positive.sum()))])


def draw_weights(groups: Shaped[np.ndarray, "images"], draws: int, seed: int) -> Float[np.ndarray, "draws images"]:
    """Return how often each image is drawn when whole groups (patients) are drawn with replacement."""
    names, member = np.unique(groups, return_inverse=True)
    counts = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return counts[:, member].astype(np.float64)


def values_of_draws(metric: Metric, weights: Float[np.ndarray, "draws images"]) -> Float[np.ndarray, "draws"]:
    """Return the metric of every draw, computed a few draws at a time.

    All at once, 1,000 draws of 30,000 images would need gigabytes.
    """
    parts = [metric(weights[first : first + _DRAWS_AT_ONCE]) for first in range(0, len(weights), _DRAWS_AT_ONCE)]
    return np.concatenate(parts)


def estimate(metric: Metric, weights: Float[np.ndarray, "draws images"]) -> Estimate:
    """Return the metric with equal weights and its 95 % percentile interval over the draws.

    Draws in which the metric is undefined are left out.
    """
    return estimate_of(once(metric, weights.shape[1]), values_of_draws(metric, weights))


def estimate_of(value: float, draws: Float[np.ndarray, "draws"]) -> Estimate:
    """Return a figure with the 95 % percentile interval of its draws; NaN ones are left out."""
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Estimate(value=value, low=float(low), high=float(high))


def once(metric: Metric, images: int) -> float:
    """Return a metric with equal weights."""
    return float(metric(np.ones((1, images)))[0])


def groups_of_ties(scores: Float[np.ndarray, "images"]) -> tuple[np.ndarray, np.ndarray]:
    """Return an ascending order, and the positions in it at which groups of equal scores start."""
    order = np.argsort(scores, kind="stable")
    sorted_scores = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], sorted_scores[1:] != sorted_scores[:-1]]))
    return order, starts


def _tie_of(
    places: Int[np.ndarray, "places"], starts: Int[np.ndarray, "groups"], count: int
) -> tuple[Int[np.ndarray, "places"], Int[np.ndarray, "places"]]:
    """Return where the group of equal scores of each place begins, and where it ends (exclusive)."""
    group = np.searchsorted(starts, places, side="right") - 1
    return starts[group], np.append(starts[1:], count)[group]


def _cumulated(values: Float[np.ndarray, "draws images"]) -> Float[np.ndarray, "draws images+1"]:
    """Return the sums of the first 0, 1 .. images values of every draw."""
    sums = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums

"""Operating points of a score: thresholds chosen on validation, and what a reader of radiographs asks of them on test.

A score at or above the threshold is positive. Sensitivity and specificity do not depend on how frequent a finding is;
the predictive values do, so they belong beside the prevalence. The net benefit of Vickers and Elkin (Medical Decision
Making 26:565, 2006) weighs a false positive by the odds of the threshold probability.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..common.metrics.ranking import groups_of_ties
from ..common.records import POINTS, PointName, RateName

WANTED = 0.9  # of the first two points


class Chosen(NamedTuple):
    """A threshold with what it reached where it was chosen."""

    threshold: float
    sensitivity: float
    specificity: float


def choose_points(scores: Float[np.ndarray, "images"], targets: Int[np.ndarray, "images"]) -> dict[PointName, Chosen]:
    """Return the threshold of each point. For validation images only, with positives and negatives among them.

    `sensitivity_90` is the largest score with at least 90 % sensitivity, `specificity_90` the smallest with at least
    90 % specificity, and `youden` that of the largest sensitivity + specificity - 1 (Youden, Cancer 3:32, 1950), of
    several the smallest. Where 90 % specificity needs a threshold above all scores, it is the next number after them.
    """
    order, starts = groups_of_ties(scores)
    positive = (targets == 1)[order]
    below = np.concatenate([[0], np.cumsum(positive)])[np.append(starts, len(scores))]
    sensitivity = 1 - below / positive.sum()
    specificity = (np.append(starts, len(scores)) - below) / (~positive).sum()
    top = np.nextafter(scores[order[-1]], np.inf, dtype=scores.dtype)
    thresholds = np.append(scores[order][starts], top)
    enough = WANTED - 1e-12  # of 10 positives, 9 are 90 %
    places = {
        "sensitivity_90": int(np.flatnonzero(sensitivity >= enough)[-1]),
        "specificity_90": int(np.flatnonzero(specificity >= enough)[0]),
        "youden": int(np.argmax(np.round(sensitivity + specificity, 12))),
    }
    return {name: Chosen(*map(float, (thresholds[place], sensitivity[place], specificity[place])))
            for name in POINTS for place in [places[name]]}  # fmt: skip


def counts_of(
    sets: Sequence[Bool[np.ndarray, "images"]], weights: Float[np.ndarray, "draws images"]
) -> Float[np.ndarray, "draws sets"]:
    """Return the numbers of images in several sets of every draw: one product for all of them."""
    return weights @ np.stack(sets, axis=1).astype(np.float64)


class Confusion(NamedTuple):
    """The four outcomes, in the order of `OUTCOMES`: which images have each, or how many in every draw."""

    true_positives: np.ndarray
    false_positives: np.ndarray
    false_negatives: np.ndarray
    true_negatives: np.ndarray

    def parts(self) -> dict[RateName, tuple[np.ndarray, np.ndarray]]:
        """Return of each rate what is in its numerator, and what is in its denominator alone."""
        return {
            "sensitivity": (self.true_positives, self.false_negatives),
            "specificity": (self.true_negatives, self.false_positives),
            "ppv": (self.true_positives, self.false_positives),
            "npv": (self.true_negatives, self.false_negatives),
        }

    def rates(self) -> dict[RateName, np.ndarray]:
        """Return the rates of numbers of images; NaN where nothing is in the denominator."""
        return {name: _share(*parts) for name, parts in self.parts().items()}


def confusion(
    scores: Float[np.ndarray, "images"],
    targets: Int[np.ndarray, "images"],
    members: Bool[np.ndarray, "images"],
    threshold: float,
) -> Confusion:
    """Return which of some images have each outcome; a target below 0 is unknown, and not counted."""
    positive, present, absent = scores >= threshold, members & (targets == 1), members & (targets == 0)
    return Confusion(present & positive, absent & positive, present & ~positive, absent & ~positive)


def drawn_confusions(found: Sequence[Confusion], weights: Float[np.ndarray, "draws images"]) -> list[Confusion]:
    """Return the numbers of images of each confusion in every draw."""
    numbers = counts_of([images for each in found for images in each], weights)
    return [Confusion(*numbers[:, 4 * place : 4 * place + 4].T) for place in range(len(found))]


def net_benefits(
    probabilities: Float[np.ndarray, "images"],
    targets: Int[np.ndarray, "images"],
    thresholds: Float[np.ndarray, "thresholds"],
    weights: Float[np.ndarray, "draws images"],
) -> tuple[Float[np.ndarray, "draws thresholds"], Float[np.ndarray, "draws thresholds"]]:
    """Return per draw the net benefit of treating where `probability >= threshold`, and that of treating all.

    It is (true positives - odds * false positives) / images with the odds of the threshold; treating none has 0.
    """
    present, absent = targets == 1, targets == 0
    reached = [probabilities >= each for each in thresholds]
    sets = [present, absent, *(present & each for each in reached), *(absent & each for each in reached)]
    found = counts_of(sets, weights)
    count, odds = len(thresholds), thresholds / (1 - thresholds)
    images = found[:, :1] + found[:, 1:2]
    model = found[:, 2 : 2 + count] - odds * found[:, 2 + count :]
    treat_all = found[:, :1] - odds * found[:, 1:2]
    with np.errstate(invalid="ignore", divide="ignore"):
        return model / images, treat_all / images


def _share(part: np.ndarray, rest: np.ndarray) -> np.ndarray:
    whole = part + rest
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)

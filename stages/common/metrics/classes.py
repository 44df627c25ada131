"""Figures of classification into several classes, as functions of a weighting of the images.

Accuracy, recall, precision and F1 equal scikit-learn's with `sample_weight`, except that a class without images in a
draw has no recall and no F1 there, and a class that is never predicted no precision; means over classes leave it out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from .findings import mean_over_findings
from .ranking import Metric, f1, mean_of
from .retrieval import precision_at


@dataclass(frozen=True)
class Classified:
    """Images with their true class and the score of every class; the largest score is the prediction.

    Of equal scores the first class is predicted.
    """

    truth: Int[np.ndarray, "images"]
    scores: Float[np.ndarray, "images classes"]

    @property
    def predicted(self) -> Int[np.ndarray, "images"]:
        """Return the predicted class of each image."""
        return self.scores.argmax(axis=1)

    @property
    def accuracy(self) -> Metric:
        """Return the share of images whose class is predicted."""
        return mean_of((self.truth == self.predicted).astype(np.float64))

    def confusion(self) -> Int[np.ndarray, "classes classes"]:
        """Return the number of images by true class (rows) and predicted class (columns)."""
        found = np.zeros((self.scores.shape[1],) * 2, dtype=np.int64)
        np.add.at(found, (self.truth, self.predicted), 1)
        return found

    def of_class(self, number: int, ks: Iterable[int]) -> dict[str, Metric]:
        """Return recall, precision and F1 of a class, and precision_at_<k> of its prompts as a query for images."""
        true, predicted = self.truth == number, self.predicted == number
        found: dict[str, Metric] = {
            "recall": mean_within(predicted.astype(np.float64), true),
            "precision": mean_within(true.astype(np.float64), predicted),
            "f1": lambda weights: f1(predicted.astype(np.float64), true.astype(np.int64), weights, threshold=1.0),
        }
        return found | {f"precision_at_{k}": precision_at(k, self.scores[:, number], true) for k in ks}

    def metrics(self, ks: Iterable[int]) -> dict[str, Metric]:
        """Return accuracy, and the means over classes of F1 and of every precision_at_<k>."""
        by_class = [self.of_class(number, ks) for number in range(self.scores.shape[1])]
        named = {"macro_f1": "f1"} | {f"precision_at_{k}": f"precision_at_{k}" for k in ks}
        means = {name: mean_over_findings([each[own] for each in by_class]) for name, own in named.items()}
        return {"accuracy": self.accuracy, **means}


def mean_within(values: Float[np.ndarray, "items"], members: Bool[np.ndarray, "items"]) -> Metric:
    """Return the mean of `values` over some items, as a function of the weighting; NaN for a draw without them."""
    return partial(_weighted_share, values * members, members.astype(np.float64))


def macro_mean(values: Float[np.ndarray, "items"], classes: Int[np.ndarray, "items"]) -> Metric:
    """Return the mean over classes of their items' means; in a draw that leaves a class empty, over the others."""
    return mean_over_findings([mean_within(values, classes == each) for each in np.unique(classes)])


def _weighted_share(part: np.ndarray, whole: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights @ whole
    return np.divide(weights @ part, total, out=np.full_like(total, np.nan), where=total > 0)

"""Figures of a classifier of several findings: each on the images whose label is known, and their mean.

All findings share the draws of the bootstrap, so that the mean over findings has an interval of its own. A finding with
few positives or negatives in the test part has no figure, since neither value nor interval would say anything; its
counts are kept beside the reason. A data set's only finding is measured however few it has.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int8

from ..data.label_matrix import LabelMatrix
from ..errors import InputError
from ..records import FEWEST, METRICS, Estimate, MetricName
from .ranking import Metric, classification_metrics, estimate_of, once, values_of_draws

FigureName = TypeVar("FigureName", bound=str)


@dataclass(frozen=True)
class Measurable:
    """Which findings can be measured, and why the others cannot."""

    findings: tuple[str, ...]
    too_few: Mapping[str, str]

    @classmethod
    def of(cls, labels: LabelMatrix, source: str, several: bool) -> "Measurable":
        """Judge the findings of `labels`; `several` says whether the data set has more than one.

        Raises InputError, which names `source`, where none can be measured.
        """
        fewest = FEWEST if several else 1
        parts = {"validation": (labels.part("validation"), 1), "test": (labels.part("test"), fewest)}
        too_few = {}
        for finding in labels.findings:
            reasons = [why for name, (part, least) in parts.items() if (why := _lack(part.of(finding), name, least))]
            if reasons:
                too_few[finding] = reasons[0]
        measured = tuple(finding for finding in labels.findings if finding not in too_few)
        if not measured:
            raise _nothing(too_few, source)
        return cls(measured, too_few)


def _lack(targets: Int8[np.ndarray, "images"], part: str, least: int) -> str:
    positives, negatives = int((targets == 1).sum()), int((targets == 0).sum())
    if min(positives, negatives) >= least:
        return ""
    return f"{positives} positive and {negatives} negative images in {part}"


def _nothing(too_few: Mapping[str, str], source: str) -> InputError:
    finding, why = next(iter(too_few.items()))
    if len(too_few) == 1 and re.search(r"\b0 (positive|negative)", why):
        part = why.rsplit(" ", 1)[1]
        return InputError(f"{source}: the {part} part needs positives and negatives", "raise its share in label_images")
    return InputError(
        f"{source}: no finding has enough positives and negatives in validation (1) and test ({FEWEST}); {finding}: "
        f"{why}",
        "raise their shares in label_images",
    )


def metrics_of(
    labels: LabelMatrix, finding: str, scores: Float[np.ndarray, "images"], threshold: float
) -> dict[MetricName, Metric]:
    """Return the figures of one finding as functions of a weighting of all images of `labels`."""
    targets = labels.of(finding)
    known = targets >= 0
    found = classification_metrics(scores[known], targets[known].astype(np.int64), threshold)
    return {name: found[name] if known.all() else partial(_of_known, found[name], known) for name in METRICS}


def _of_known(metric: Metric, known: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return metric(weights[:, known])


def mean_over_findings(metrics: Sequence[Metric]) -> Metric:
    """Return the mean over findings; in a draw that leaves a finding undefined, over the others."""
    return metrics[0] if len(metrics) == 1 else lambda weights: mean_of_known([each(weights) for each in metrics])


def estimates(
    metrics: Mapping[str, Mapping[FigureName, Metric]], weights: Float[np.ndarray, "draws images"]
) -> tuple[dict[str, dict[FigureName, Estimate]], dict[FigureName, Estimate]]:
    """Return the figures of each finding (or class), and their mean over findings; every draw is made once."""
    by_finding: dict[str, dict[FigureName, Estimate]] = {finding: {} for finding in metrics}
    means: dict[FigureName, Estimate] = {}
    for name in next(iter(metrics.values()), {}):
        values = {finding: once(each[name], weights.shape[1]) for finding, each in metrics.items()}
        draws = {finding: values_of_draws(each[name], weights) for finding, each in metrics.items()}
        for finding in metrics:
            by_finding[finding][name] = estimate_of(values[finding], draws[finding])
        means[name] = estimate_of(float(np.mean(list(values.values()))), mean_of_known(list(draws.values())))
    return by_finding, means


def mean_of_known(draws: Sequence[Float[np.ndarray, "draws"]]) -> Float[np.ndarray, "draws"]:
    """Return the mean over findings of every draw, without those that a draw leaves undefined (NaN)."""
    stacked = np.stack(draws)
    known = ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):
        return np.where(known, stacked, 0).sum(axis=0) / known.sum(axis=0)

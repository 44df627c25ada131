"""Figures over the repetitions of a few-shot job, and their entries in its journal."""

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from ..journal.tracking import Run
from ..metrics.ranking import Metric, estimate, mean_over_seeds
from .protocols import FewShotRecord, MeanOfSeeds, in_words

Name = TypeVar("Name", bound=str)  # of a figure; a mapping is invariant in its keys, here literals


def looks_of(steps: int, validations: int) -> frozenset[int]:
    """Return the steps, from 1, after which a training of `steps` updates is validated: evenly, the last among them."""
    return frozenset(math.ceil(steps * look / validations) for look in range(1, validations + 1))


def means_of_seeds(
    metrics: Sequence[Mapping[str, Metric]],
    values: Sequence[Mapping[str, float]],
    weights: Float[np.ndarray, "draws images"],
) -> dict[str, MeanOfSeeds]:
    """Return, by figure, the mean over repetitions with its interval, and the repetitions' standard deviation.

    `metrics` are the figures of each repetition as functions of the weighting, `values` those with equal weights. The
    interval draws the same units for every repetition.
    """
    return {
        name: MeanOfSeeds(
            **dict(estimate(mean_over_seeds([each[name] for each in metrics]), weights)),
            spread=spread_of([value[name] for value in values]),
        )
        for name in (metrics[0] if metrics else ())
    }


def spread_of(values: Sequence[float]) -> float | None:
    """Return the standard deviation over repetitions; None for a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def log_result(run: Run, result: FewShotRecord, metrics: Mapping[Name, MeanOfSeeds]) -> None:
    """Enter figures, overlap, departures and the reason of a skipped job in the journal."""
    run.log_figures(metrics)
    run.log_metrics({f"overlap/{kind}": count for kind, count in result.overlap})
    if result.departures:
        run.log_tag("not_the_published_protocol", in_words([result.departures]))
    if result.skipped:
        run.log_tag("skipped", result.skipped)

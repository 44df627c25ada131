"""What a job reports: figures of every repetition beside predicting nothing, their mean with interval and spread."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from stages.common.mask_overlaps import Overlaps, segmentation_metrics
from stages.common.ranking_metrics import Metric, draw_weights, estimate


@dataclass(frozen=True)
class SeedOverlaps:
    """One repetition: pixels of the test part at the threshold that validation chose, by the best weights."""

    seed: int
    kept_at: int  # step, 1-based, after which those weights were there
    validation_dice_of_positives: float
    threshold: float  # probability
    test: Overlaps


def evaluate(labels: pl.DataFrame, runs: Sequence[SeedOverlaps], draws: int, seed: int) -> dict[str, Any]:
    """The figures of result.json; without runs (a subset that teaches nothing) they are empty.

    labels: image_id and patient_id of the test images, in the order of the counts. A figure is the mean over
    repetitions. Its interval resamples test patients (images where patients are unknown), the same ones for every
    repetition and for `predict_nothing`; its `spread` is the standard deviation over repetitions.
    """
    known = labels["patient_id"].null_count() == 0
    groups = labels["patient_id" if known else "image_id"].to_numpy()
    metrics = [segmentation_metrics(run.test) for run in runs]
    once = np.ones((1, len(labels)))
    values = [{name: float(metric(once)[0]) for name, metric in each.items()} for each in metrics]
    weights = draw_weights(groups, draws, seed)
    return {
        "resampled_by": "patient" if known else "image",
        "seeds": [
            {name: value for name, value in vars(run).items() if name != "test"} | figures
            for run, figures in zip(runs, values, strict=True)
        ],
        "metrics": {
            name: asdict(estimate(_mean_of([each[name] for each in metrics]), weights))
            | {"spread": _spread([value[name] for value in values])}
            for name in (metrics[0] if metrics else ())
        },
    }


def _mean_of(metrics: Sequence[Metric]) -> Metric:
    return lambda weights: np.mean([metric(weights) for metric in metrics], axis=0)


def _spread(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None

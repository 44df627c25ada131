"""What a job reports: figures of every repetition, their mean with interval, and their spread."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from stages.common.labelled_parts import Parts, targets_of
from stages.common.ranking_metrics import (
    Metric,
    auc,
    best_f1_threshold,
    classification_metrics,
    draw_weights,
    estimate,
)


@dataclass(frozen=True)
class SeedScores:
    """One repetition: the scores (logits) of the weights that were best on validation."""

    seed: int
    kept_at: int  # epoch (linear) or step (finetune), 1-based, after which those weights were there
    validation_auc: float
    validation: Float[np.ndarray, "validation"]
    test: Float[np.ndarray, "test"]


def validation_auc(scores: Float[np.ndarray, "images"], targets: Int[np.ndarray, "images"]) -> float:
    """What decides when to stop, and which weights are kept."""
    return float(auc(scores, targets, np.ones((1, len(scores))))[0])


def evaluate(parts: Parts, runs: Sequence[SeedScores], draws: int, seed: int) -> dict[str, Any]:
    """The figures of result.json; without runs (a subset that teaches nothing) they are empty, and `skipped` says why.

    Each repetition has its own threshold, of largest F1 on validation. A figure is the mean over repetitions. Its
    interval resamples test patients (images where patients are unknown), the same ones for every repetition; its
    `spread` is the standard deviation over repetitions, which share one subset: null for a single one.
    """
    known = parts.test["patient_id"].null_count() == 0
    groups = parts.test["patient_id" if known else "image_id"].to_numpy()
    thresholds = [best_f1_threshold(run.validation, targets_of(parts.validation)) for run in runs]
    metrics = [
        classification_metrics(run.test, targets_of(parts.test), threshold)
        for run, threshold in zip(runs, thresholds, strict=True)
    ]
    once = np.ones((1, parts.test.height))
    values = [{name: float(metric(once)[0]) for name, metric in each.items()} for each in metrics]
    weights = draw_weights(groups, draws, seed)
    return {
        "skipped": parts.skipped,
        "images": {part: {"images": rows.height, "positives": int(rows["target"].sum())}
                   for part, rows in (("train", parts.train), ("validation", parts.validation), ("test", parts.test))},
        "resampled_by": "patient" if known else "image",
        "seeds": [
            {"seed": run.seed, "kept_at": run.kept_at, "validation_auc": run.validation_auc, "threshold": threshold}
            | value
            for run, threshold, value in zip(runs, thresholds, values, strict=True)
        ],
        "metrics": {
            name: asdict(estimate(_mean_of([each[name] for each in metrics]), weights))
            | {"spread": _spread([value[name] for value in values])}
            for name in (metrics[0] if metrics else ())
        },
    }  # fmt: skip


def _mean_of(metrics: Sequence[Metric]) -> Metric:
    return lambda weights: np.mean([metric(weights) for metric in metrics], axis=0)


def _spread(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None

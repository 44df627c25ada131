"""Measure classifiers on the parts, and write the result.

What a job reports: figures of every repetition, their mean with interval, and their spread.

The files of a job: result.json and the scores of every repetition.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Float, Int

from ..common.few_shot.parts import Parts, targets_of
from ..common.few_shot.protocols import in_words
from ..common.files.arrow_tables import write_table
from ..common.files.atomic_files import write_record
from ..common.files.schemas import SCORES
from ..common.journal.tracking import Run
from ..common.metrics.ranking import Metric, auc, best_f1_threshold, classification_metrics, draw_weights, estimate


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
            name: estimate(_mean_of([each[name] for each in metrics]), weights).model_dump()
            | {"spread": _spread([value[name] for value in values])}
            for name in (metrics[0] if metrics else ())
        },
    }  # fmt: skip


def _mean_of(metrics: Sequence[Metric]) -> Metric:
    return lambda weights: np.mean([metric(weights) for metric in metrics], axis=0)


def _spread(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def write_result(
    result_path: Path, scores_folder: Path, result: dict[str, Any], parts: Parts, runs: Sequence[SeedScores], run: Run
) -> None:
    """Write both and enter them, with the figures, in the journal. Scores of an earlier run are removed."""
    shutil.rmtree(scores_folder, ignore_errors=True)
    scores_folder.mkdir(parents=True)
    for each in runs:
        rows = pl.concat([scored_rows(parts.validation, each.validation), scored_rows(parts.test, each.test)])
        path = scores_folder / f"seed_{each.seed}.arrow"
        write_table(path, SCORES, pa.Table.from_pylist(rows.to_dicts(), schema=SCORES))
        run.log_artifact(path)
    write_record(result_path, result)
    run.log_artifact(result_path, publish=True)
    run.log_metrics({f"test/{name}": figure["value"] for name, figure in result["metrics"].items()})
    run.log_metrics({f"overlap/{kind}": count for kind, count in result["overlap"].items()})
    if result["departures"]:
        run.log_tag("not_the_published_protocol", in_words([result["departures"]]))
    if result["skipped"]:
        run.log_tag("skipped", result["skipped"])


def scored_rows(part: pl.DataFrame, scores: Float[np.ndarray, "images"]) -> pl.DataFrame:
    """Rows of SCORES; larger logits mean present."""
    return part.select("image_id", "patient_id", "split", "target", score=pl.Series(scores, dtype=pl.Float32))

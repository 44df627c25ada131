"""Evaluation of the classifiers of a job: result.json, and the scores of every repetition."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from ..audit_splits.contract import read_overlap
from ..common.few_shot.parts import Parts, read_finding, split_parts, targets_of
from ..common.few_shot.protocols import MeanOfSeeds, PartSize
from ..common.few_shot.repetitions import log_result, means_of_seeds
from ..common.files.arrow_tables import write_frame
from ..common.files.schemas import SCORES
from ..common.journal.tracking import Run, track_job
from ..common.metrics.ranking import auc, best_f1_threshold, classification_metrics, draw_weights
from ..common.records import Overlap, write_record
from .contract import (
    ALWAYS_DIFFERENT,
    FewShotClassificationJob,
    FewShotResult,
    JobSettings,
    Protocol,
    Seed,
    departures_of,
)


@dataclass(frozen=True)
class SeedScores:
    """One repetition: the scores (logits) of the weights that were best on validation."""

    seed: int
    kept_at: int  # epoch (linear) or step (finetune), 1-based, after which those weights were kept
    validation_auc: float
    validation: Float[np.ndarray, "validation"]
    test: Float[np.ndarray, "test"]


def validation_auc(scores: Float[np.ndarray, "images"], targets: Int[np.ndarray, "images"]) -> float:
    """Return the AUC that decides when to stop and which weights are kept."""
    return float(auc(scores, targets, np.ones((1, len(scores))))[0])


Fit = Callable[[int], SeedScores]  # returns a repetition, given its seed


@dataclass(frozen=True)
class Figures:
    """Figures over the repetitions."""

    resampled_by: Literal["patient", "image"]
    seeds: list[Seed]
    metrics: dict[str, MeanOfSeeds]


def classify(job: FewShotClassificationJob, prepare: Callable[[Parts, Run], Fit]) -> None:
    """Repeat a protocol over seeds, measure, and write result and scores.

    `prepare` reads what the protocol needs and returns the function that fits one repetition.
    """
    settings = job.settings
    with track_job(job) as run:
        overlap = read_overlap(job.audit, job.labels)
        parts = split_parts(read_finding(job.labels, settings.finding), settings.fraction, job.labels)
        fit = prepare(parts, run)
        runs = [] if parts.skipped else [fit(settings.seed + number) for number in range(settings.seeds)]
        result = result_of(job.protocol, settings, parts, runs, overlap)
        write_scores(job.scores, parts, runs)
        write_record(job.result, result)
        log_result(run, result, result.metrics)


def result_of(
    protocol: Protocol, settings: JobSettings, parts: Parts, runs: Sequence[SeedScores], overlap: Overlap
) -> FewShotResult:
    """Measure the repetitions and build the record of result.json."""
    found = evaluate(parts, runs, settings.draws, settings.seed)
    sizes = {name: PartSize(images=rows.height, positives=int(rows["target"].sum()))
             for name, rows in (("train", parts.train), ("validation", parts.validation),
                                ("test", parts.test))}  # fmt: skip
    return FewShotResult(
        finding=parts.finding,
        protocol=protocol,
        fraction=settings.fraction,
        departures=departures_of(settings, protocol),
        always_different=ALWAYS_DIFFERENT[protocol],
        skipped=parts.skipped,
        images=sizes,
        overlap=overlap,
        **vars(found),
    )


def evaluate(parts: Parts, runs: Sequence[SeedScores], draws: int, seed: int) -> Figures:
    """Measure the repetitions; without any (a subset that teaches nothing) there are no figures.

    Each repetition has its own threshold, of largest F1 on validation. A figure is the mean over repetitions. Its
    interval resamples test patients (images where patients are unknown), the same ones for every repetition. Its
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
    seeds = [
        Seed(seed=run.seed, kept_at=run.kept_at, validation_auc=run.validation_auc, threshold=threshold, **value)
        for run, threshold, value in zip(runs, thresholds, values, strict=True)
    ]
    weights = draw_weights(groups, draws, seed)
    return Figures("patient" if known else "image", seeds, means_of_seeds(metrics, values, weights))


def write_scores(folder: Path, parts: Parts, runs: Sequence[SeedScores]) -> None:
    """Write one table per repetition, of validation and test images; those of an earlier run are removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for each in runs:
        rows = pl.concat([scored_rows(parts.validation, each.validation), scored_rows(parts.test, each.test)])
        write_frame(folder / f"seed_{each.seed}.arrow", SCORES, rows)


def scored_rows(part: pl.DataFrame, scores: Float[np.ndarray, "images"]) -> pl.DataFrame:
    """Return rows of SCORES; larger logits mean present."""
    return part.select("image_id", "patient_id", "split", "target", score=pl.Series(scores, dtype=pl.Float32))

"""Evaluation of the classifiers of a job: result.json, and the scores of every repetition."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor
from torch.nn import functional as F

from ..audit_splits.contract import read_overlap
from ..common.data.label_matrix import LabelMatrix, read_label_matrix
from ..common.data.patient_split import Split
from ..common.few_shot.parts import Parts, split_parts
from ..common.few_shot.protocols import MeanOfSeeds, PartSize
from ..common.few_shot.repetitions import log_result, spread_of
from ..common.files.arrow_tables import write_frame
from ..common.files.schemas import SCORES
from ..common.journal.tracking import Run, track_job
from ..common.metrics.findings import estimates, metrics_of
from ..common.metrics.ranking import RocCurve, auc, best_f1_threshold, draw_weights, mean_over_seeds, once, roc_curve
from ..common.records import METRICS, Estimate, MetricName, Overlap, write_record
from .contract import (
    ALWAYS_DIFFERENT,
    FewShotClassificationJob,
    FewShotResult,
    FindingResult,
    JobSettings,
    Protocol,
    Seed,
    departures_of,
)


@dataclass(frozen=True)
class SeedScores:
    """One repetition: the scores (logits) of the weights that were best on validation."""

    seed: int
    kept_at: int  # epoch (linear) or step, 1-based, after which those weights were kept
    validation_auc: float
    validation: Float[np.ndarray, "validation findings"]
    test: Float[np.ndarray, "test findings"]


def validation_auc(scores: Float[np.ndarray, "images findings"], targets: Int8[np.ndarray, "images findings"]) -> float:
    """Return the AUC, mean over findings, that decides when to stop and which weights are kept."""
    values = []
    for own, target in zip(scores.T, targets.T, strict=True):
        known = target >= 0
        values.append(float(auc(own[known], target[known].astype(np.int64), np.ones((1, int(known.sum()))))[0]))
    return float(np.mean(values))


@dataclass(frozen=True)
class KnownTargets:
    """Targets of a batch that are known, and their places among its logits.

    They are looked up on the CPU: a GPU would have to tell how many there are, and the CPU to wait for it.
    """

    places: Int[Tensor, "known"]
    targets: Float[Tensor, "known"]

    @classmethod
    def of(cls, targets: Float[Tensor, "batch findings"]) -> "KnownTargets":
        """Return those of a batch; -1 is an unknown one."""
        places = (targets.flatten() >= 0).nonzero().squeeze(1)
        return cls(places, targets.flatten()[places])

    def loss(self, logits: Float[Tensor, "batch findings"]) -> Tensor:
        """Return the binary cross-entropy, mean over the known targets; 0 where there are none."""
        if not len(self.places):
            return 0 * logits.sum()
        return F.binary_cross_entropy_with_logits(logits.flatten()[self.places], self.targets)


Fit = Callable[[int], SeedScores]  # returns a repetition, given its seed


def classify(job: FewShotClassificationJob, prepare: Callable[[Parts, Run], Fit]) -> None:
    """Repeat a protocol over seeds, measure, and write result and scores.

    `prepare` reads what the protocol needs and returns the function that fits one repetition.
    """
    settings = job.settings
    with track_job(job) as run:
        overlap = read_overlap(job.audit, job.labels)
        labels = read_label_matrix(job.labels, settings.findings)
        parts = split_parts(labels, settings.fraction, job.labels, settings.findings)
        fit = prepare(parts, run)
        runs = [] if parts.skipped else [fit(settings.seed + number) for number in range(settings.seeds)]
        result = result_of(job.protocol, settings, parts, runs, overlap)
        write_scores(job.scores, parts, runs)
        write_record(job.result, result)
        log_result(run, result, result.metrics)
        if len(result.findings) > 1:
            for finding, own in result.findings.items():
                run.log_figures(own.metrics, suffix=f"/{finding}")
        if runs:
            run.pictures.rates("roc.svg", roc_curves(parts, runs), "false positive rate", "true positive rate")


def roc_curves(parts: Parts, runs: Sequence[SeedScores]) -> dict[str, RocCurve]:
    """Return the test part's ROC curve of each repetition; of several findings, of each in the first repetition."""
    shown = runs if len(parts.findings) == 1 else runs[:1]
    return {f"{finding}, seed {run.seed}": roc_curve(run.test[:, column], parts.test.of(finding))
            for run in shown for column, finding in enumerate(parts.findings)}  # fmt: skip


def result_of(
    protocol: Protocol, settings: JobSettings, parts: Parts, runs: Sequence[SeedScores], overlap: Overlap
) -> FewShotResult:
    """Measure the repetitions and build the record of result.json; without any there are no figures.

    Each repetition has its own thresholds, of largest F1 on validation. A figure is the mean over repetitions. Its
    interval resamples test patients (images where patients are unknown), the same ones for every repetition and
    finding. Its `spread` is the standard deviation over repetitions, which share one subset: null for a single one.
    """
    unit, groups = parts.test.resampled
    weights = draw_weights(groups, settings.draws, settings.seed)
    thresholds = [_thresholds(run, parts) for run in runs]
    by_seed = [
        {finding: metrics_of(parts.test, finding, run.test[:, column], own[finding])
         for column, finding in enumerate(parts.findings)}
        for run, own in zip(runs, thresholds, strict=True)
    ]  # fmt: skip
    values = [{finding: {name: once(metric, len(parts.test.images)) for name, metric in own.items()}
               for finding, own in each.items()} for each in by_seed]  # fmt: skip
    means = {finding: {name: mean_over_seeds([each[finding][name] for each in by_seed]) for name in METRICS}
             for finding in (parts.findings if runs else ())}  # fmt: skip
    by_finding, overall = estimates(means, weights)
    over_findings = [{name: float(np.mean([own[name] for own in each.values()])) for name in METRICS}
                     for each in values]  # fmt: skip
    seeds = [
        Seed(seed=run.seed, kept_at=run.kept_at, validation_auc=run.validation_auc, thresholds=own, **value)
        for run, own, value in zip(runs, thresholds, over_findings, strict=True)
    ]
    findings = {
        finding: FindingResult(
            images=_sizes(parts, finding),
            metrics=_with_spread(by_finding.get(finding, {}), [each[finding] for each in values]),
        )
        for finding in parts.findings
    }
    return FewShotResult(
        findings=findings,
        not_measured=dict(parts.not_measured),
        protocol=protocol,
        fraction=settings.fraction,
        departures=departures_of(settings, protocol),
        always_different=ALWAYS_DIFFERENT[protocol],
        skipped=parts.skipped,
        images=_sizes(parts),
        seeds=seeds,
        metrics=_with_spread(overall, over_findings),
        resampled_by=unit,
        overlap=overlap,
    )


def _thresholds(run: SeedScores, parts: Parts) -> dict[str, float]:
    found = {}
    for column, finding in enumerate(parts.findings):
        targets = parts.validation.of(finding)
        known = targets >= 0
        found[finding] = best_f1_threshold(run.validation[known, column], targets[known].astype(np.int64))
    return found


def _with_spread(
    figures: dict[MetricName, Estimate], values: Sequence[dict[MetricName, float]]
) -> dict[MetricName, MeanOfSeeds]:
    return {
        name: MeanOfSeeds(**dict(each), spread=spread_of([value[name] for value in values]))
        for name, each in figures.items()
    }


def _sizes(parts: Parts, finding: str | None = None) -> dict[Split, PartSize]:
    """Return the images of each part and the positive ones, of one finding or of any."""
    named: tuple[tuple[Split, LabelMatrix], ...] = (
        ("train", parts.train), ("validation", parts.validation), ("test", parts.test)
    )  # fmt: skip
    found = {}
    for name, part in named:
        own = part if finding is None else part.among([finding]).labelled()
        found[name] = PartSize(images=len(own.images), positives=own.positives)
    return found


def write_scores(folder: Path, parts: Parts, runs: Sequence[SeedScores]) -> None:
    """Write one table per repetition, of validation and test images; those of an earlier run are removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for each in runs:
        scored = ((parts.validation, each.validation), (parts.test, each.test))
        rows = [part.scored(dict(zip(parts.findings, scores.T, strict=True))) for part, scores in scored]
        write_frame(folder / f"seed_{each.seed}.arrow", SCORES, pl.concat(rows))


def target_tensor(part: LabelMatrix) -> Float[Tensor, "images findings"]:
    """Return the targets of a part for `KnownTargets`."""
    return torch.from_numpy(part.targets).float()

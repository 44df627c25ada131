"""Evaluation of zero-shot classification: prompt set and threshold from validation, test measured once.

Besides the set that validation chose, every set keeps its AUC on test. A paper that fixes its prompts, and so needs no
labels to choose them, is compared with the set that stands first in the file. Images are scored once for all findings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int8

from ..audit_splits.contract import read_overlap
from ..common.data.label_matrix import LabelMatrix, read_label_matrix
from ..common.data.prompts import prompt_file, read_prompts
from ..common.device import choose_device
from ..common.encoders.dual import load_checkpoint
from ..common.errors import InputError
from ..common.files.arrow_tables import write_frame, write_rows
from ..common.files.schemas import SCORES, judged_images
from ..common.journal.tracking import Run, track_job
from ..common.metrics.findings import Measurable, estimates, metrics_of
from ..common.metrics.ranking import auc, best_f1_threshold, draw_weights, estimate, roc_curve
from ..common.radiographs.attributes import Attribute
from ..common.records import Estimate, MetricName, PointName, has_several, read_record, write_record
from ..select_checkpoint.contract import Selection
from .calibration import calibrate
from .contract import Calibration, FindingResult, NetBenefit, ZeroShotJob, ZeroShotResult, ZeroShotSettings
from .judgements import groups_of, judge, judged_rows, net_benefit, stated
from .operating_points import Chosen, choose_points
from .scores import scores_of

Scores = Mapping[str, Float[np.ndarray, "images"]]  # by prompt set, in the order of the file


@dataclass(frozen=True)
class Measured:
    """Figures of an evaluation, without what the job adds."""

    findings: dict[str, FindingResult]
    metrics: dict[MetricName, Estimate]
    not_measured: dict[str, str]
    resampled_by: str  # patient | image
    test_images: int
    stated: dict[Attribute, int]  # test images that state sex, age, view


def classify(job: ZeroShotJob) -> None:
    """Score the labelled images by prompts, choose on validation, measure on test, and write scores and result."""
    settings = job.settings
    prompt_path = prompt_file(settings.prompts, job.stage)
    files = {"prompts": prompt_path}
    readers = {"features": settings.reads_features, "images": settings.reads_images or settings.shows_images}
    for name, is_read in readers.items():
        if is_read:
            if (path := getattr(job, name)) is None:
                raise InputError(f"zero_shot_classification.score is {settings.score}: name --{name}")
            files[name] = path
    prompts = read_prompts(prompt_path, denying=True)
    with track_job(job, files) as run:
        checkpoint = load_checkpoint(job.checkpoint, choose_device(job.device))
        every = read_label_matrix(job.labels, list(prompts))
        labels = every.among(list(prompts)).labelled()
        overlap = read_overlap(job.audit, job.labels)
        sets = {(finding, name): each for finding, own in prompts.items() for name, each in own.expanded().items()}
        scores: dict[str, dict[str, np.ndarray]] = {}
        for (finding, name), each in scores_of(checkpoint, sets, labels.images, job, run).items():
            scores.setdefault(finding, {})[name] = each
        without = {name: "no prompts" for name in every.findings if name not in prompts}
        found = evaluate(labels, scores, settings, _temperature(job), job.labels, without)
        chosen = {finding: scores[finding][each.prompt_set] for finding, each in found.findings.items()}
        write_frame(job.scores, SCORES, labels.scored(chosen))
        size, samples = 1, list[dict[str, object]]()
        if settings.shows_images:
            size, samples = judged_rows(labels, chosen, found.findings, files["images"], settings)
        write_rows(job.samples, judged_images(size), samples)
        write_record(job.result, ZeroShotResult(score=settings.score, overlap=overlap, **vars(found)))
        _log(run, found)
        test = (labels.images["split"] == "test").to_numpy()
        curves = {f"{finding}, AUC {found.findings[finding].metrics['auc'].value:.3f}":
                  roc_curve(own[test], labels.of(finding)[test]) for finding, own in chosen.items()}  # fmt: skip
        run.pictures.rates("roc.svg", curves, "false positive rate", "true positive rate")


def _temperature(job: ZeroShotJob) -> float:
    """Return what scores are divided by before the calibration. Raises InputError where it is needed and not given."""
    if job.settings.calibration == "none" or job.settings.score == "global_and_local":
        return 1.0  # the second score is in deviations, no cosine
    if job.selection is None:
        raise InputError(f"zero_shot_classification.calibration is {job.settings.calibration}: name --selection")
    return read_record(job.selection, Selection).temperature


def _log(run: Run, found: Measured) -> None:
    """Log the mean over findings, and what the choice of prompts was; with several findings each of them, too."""
    run.log_figures(found.metrics)
    several = len(found.findings) > 1
    for finding, own in found.findings.items():
        behind = f"/{finding}" if several else ""
        if several:
            run.log_figures(own.metrics, suffix=behind)
        run.log_metrics({f"validation/auc/{name}{behind}": each for name, each in own.validation_auc.items()})
        run.log_metrics({f"test/auc_if_fixed/{name}{behind}": each.value for name, each in own.test_auc.items()})
        if own.calibration is not None:
            run.log_metrics({f"test/calibration_error/{name}{behind}": each.calibration_error for name, each in
                             (("before", own.calibration.before), ("after", own.calibration.after))})  # fmt: skip
        for point, each in own.operating_points.items():
            run.log_metrics({f"test/{rate}/{point}{behind}": figure.value for rate in ("sensitivity", "specificity")
                             if (figure := each.rates[rate]) is not None})  # fmt: skip
        run.log_tag(f"prompt_set{behind.replace('/', '.')}", own.prompt_set)


def evaluate(
    labels: LabelMatrix,
    scores: Mapping[str, Scores],
    settings: ZeroShotSettings,
    temperature: float = 1.0,
    source: Path = Path("labels.arrow"),
    left_out: Mapping[str, str] | None = None,
) -> Measured:
    """Choose the prompt set and threshold of each finding on validation, and measure test once.

    `scores` holds, by finding, one array per prompt set, for all images of `labels`; `temperature` divides them before
    the calibration; `left_out` says why other findings of the data set are not measured. Raises InputError, which names
    `source`, where no finding has the positives and negatives without which nothing could be chosen or measured.
    """
    left_out = left_out or {}
    measurable = Measurable.of(labels, str(source), several=has_several(labels.findings, left_out))
    validation, test = ((labels.images["split"] == part).to_numpy() for part in ("validation", "test"))
    test &= labels.among(measurable.findings).known
    tested = labels.where(test)
    unit, units = tested.resampled
    weights = draw_weights(units, settings.draws, settings.seed)
    chosen = {finding: _choose(labels.of(finding), scores[finding], validation) for finding in measurable.findings}
    metrics = {
        finding: metrics_of(tested, finding, scores[finding][each.prompt_set][test], each.threshold)
        for finding, each in chosen.items()
    }
    by_finding, means = estimates(metrics, weights)
    split = groups_of(tested.images, settings.age_bands)
    findings = {}
    for finding, each in chosen.items():
        targets = tested.of(finding)
        auc_of = {name: by_finding[finding]["auc"] if name == each.prompt_set
                  else estimate(partial(auc, own[test], targets), weights)
                  for name, own in scores[finding].items()}  # fmt: skip
        own = scores[finding][each.prompt_set]
        points, subgroups = judge(own[test], targets, each.points, split, weights, units)
        calibration, benefit = _calibrated(own, labels.of(finding), (validation, test), weights, settings, temperature)
        findings[finding] = FindingResult(
            prompt_set=each.prompt_set, validation_auc=each.validation_auc, threshold=each.threshold,
            metrics=by_finding[finding], test_auc=auc_of, test_images=int((targets >= 0).sum()),
            test_positives=int((targets == 1).sum()), calibration=calibration, net_benefit=benefit,
            operating_points=points, subgroups=subgroups,
        )  # fmt: skip
    left = {**measurable.too_few, **left_out}
    return Measured(findings, means, left, unit, len(tested.images), stated(tested.images))


def _calibrated(
    scores: Float[np.ndarray, "images"],
    targets: Int8[np.ndarray, "images"],
    parts: tuple[Bool[np.ndarray, "images"], Bool[np.ndarray, "images"]],
    weights: Float[np.ndarray, "draws tested"],
    settings: ZeroShotSettings,
    temperature: float,
) -> tuple[Calibration | None, NetBenefit | None]:
    """Return a finding's calibration, fitted on the first part and measured on the second, and its net benefit.

    Only images with a known label count. Each is None where the settings do not ask for it.
    """
    if settings.calibration == "none":
        return None, None
    known = targets >= 0
    fitted, measured = ((scores[part & known].astype(np.float64), targets[part & known].astype(np.int64))
                        for part in parts)  # fmt: skip
    drawn = weights[:, known[parts[1]]]
    found = calibrate(settings.calibration, temperature, fitted, measured, drawn)
    return found, net_benefit(found, *measured, drawn) if settings.decision_curve else None


@dataclass(frozen=True)
class _Choice:
    prompt_set: str
    validation_auc: dict[str, float]  # of every prompt set
    threshold: float  # largest F1 on validation
    points: dict[PointName, Chosen]


def _choose(targets: np.ndarray, scores: Scores, validation: np.ndarray) -> _Choice:
    """Choose a finding's prompt set by AUC, and its thresholds, on the validation images whose label is known."""
    used = validation & (targets >= 0)
    own, one = targets[used].astype(np.int64), np.ones((1, int(used.sum())))
    by_set = {name: float(auc(each[used], own, one)[0]) for name, each in scores.items()}
    chosen = max(by_set, key=lambda name: by_set[name])
    best = scores[chosen][used]
    return _Choice(chosen, by_set, best_f1_threshold(best, own), choose_points(best, own))

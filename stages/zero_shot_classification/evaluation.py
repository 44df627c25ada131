"""Evaluation of zero-shot classification: prompt set and threshold from validation, test measured once.

Besides the set that validation chose, every set keeps its AUC on test. A paper that fixes its prompts, and so needs no
labels to choose them, is compared with the set that stands first in the file.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from ..audit_splits.contract import read_overlap
from ..common.data.labelled_images import read_labels
from ..common.data.prompts import prompt_file, read_prompts
from ..common.device import choose_device
from ..common.encoders.dual import load_checkpoint
from ..common.errors import InputError
from ..common.files.arrow_tables import write_frame
from ..common.files.schemas import SCORES
from ..common.journal.tracking import track_job
from ..common.metrics.ranking import (
    auc,
    best_f1_threshold,
    classification_metrics,
    draw_weights,
    estimate,
)
from ..common.records import Estimate, write_record
from .contract import ZeroShotJob, ZeroShotResult
from .scores import scores_of


@dataclass(frozen=True)
class Measured:
    """Figures of an evaluation, without what the job adds."""

    prompt_set: str
    validation_auc: dict[str, float]  # of every prompt set
    threshold: float  # largest F1 on validation
    metrics: dict[str, Estimate]  # on test
    test_auc: dict[str, Estimate]  # of every prompt set, in the order of the file
    resampled_by: str  # patient | image
    test_images: int
    test_positives: int


def classify(job: ZeroShotJob) -> None:
    """Score the labelled images by prompts, choose on validation, measure on test, and write scores and result."""
    settings = job.settings
    prompt_path = prompt_file(settings.prompts, job.stage)
    read = "images" if settings.score == "local" else "features"
    source = job.images if settings.score == "local" else job.features
    if source is None:
        raise InputError(f"zero_shot_classification.score is {settings.score}: name --{read}")
    prompts = read_prompts(prompt_path, denying=True)
    with track_job(job, {read: source, "prompts": prompt_path}) as run:
        checkpoint = load_checkpoint(job.checkpoint, choose_device(job.device))
        labels = read_labels(job.labels, prompts.finding)
        overlap = read_overlap(job.audit, job.labels)
        scores = scores_of(checkpoint, prompts.expanded(), labels, source, settings)
        found = evaluate(labels, scores, settings.draws, settings.seed, job.labels)
        chosen = labels.select("image_id", "patient_id", "split", "target", score=pl.Series(scores[found.prompt_set]))
        write_frame(job.scores, SCORES, chosen)
        write_record(
            job.result, ZeroShotResult(finding=prompts.finding, score=settings.score, overlap=overlap, **vars(found))
        )
        run.log_metrics({f"test/{name}": each.value for name, each in found.metrics.items()})
        run.log_metrics({f"validation/auc/{name}": each for name, each in found.validation_auc.items()})
        run.log_metrics({f"test/auc_if_fixed/{name}": each.value for name, each in found.test_auc.items()})
        run.log_tag("prompt_set", found.prompt_set)


def evaluate(
    labels: pl.DataFrame, scores: dict[str, np.ndarray], draws: int, seed: int, source: Path = Path("labels.arrow")
) -> Measured:
    """Choose the prompt set and threshold on validation, and measure test once.

    `labels` has columns image_id, patient_id, split, target; `scores` holds one array per prompt set, in its order.
    Raises InputError, which names `source`, for a part without positives or negatives: nothing could be chosen or
    measured.
    """
    validation = (labels["split"] == "validation").to_numpy()
    test = (labels["split"] == "test").to_numpy()
    targets = labels["target"].to_numpy()
    for name, part in (("validation", validation), ("test", test)):
        if len(set(targets[part])) < 2:
            raise InputError(
                f"{source}: the {name} part needs positives and negatives", remedy="raise its share in label_images"
            )
    one = np.ones((1, int(validation.sum())))
    by_set = {name: float(auc(each[validation], targets[validation], one)[0]) for name, each in scores.items()}
    chosen = max(by_set, key=lambda name: by_set[name])
    score = scores[chosen]
    threshold = best_f1_threshold(score[validation], targets[validation])
    known = labels["patient_id"].null_count() == 0
    groups = labels["patient_id" if known else "image_id"].to_numpy()[test]
    weights = draw_weights(groups, draws, seed)
    target = targets[test]
    measures = classification_metrics(score[test], target, threshold)
    metrics = {name: estimate(each, weights) for name, each in measures.items()}
    fixed = {name: estimate(partial(auc, each[test], target), weights) for name, each in scores.items()}
    return Measured(
        prompt_set=chosen,
        validation_auc=by_set,
        threshold=threshold,
        metrics=metrics,
        test_auc=fixed,
        resampled_by="patient" if known else "image",
        test_images=len(target),
        test_positives=int(target.sum()),
    )

"""The protocol: prompt set and threshold from validation, the test part measured once with intervals.

Beside the set that validation chose, every set keeps its AUC on test: what a paper reports that fixes its prompts, and
so needs no labels to choose them, compares with the set that stands first in the file.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from ..common.errors import InputError
from ..common.metrics.ranking import (
    Estimate,
    auc,
    best_f1_threshold,
    classification_metrics,
    draw_weights,
    estimate,
)


@dataclass(frozen=True)
class ZeroShotResult:
    prompt_set: str
    validation_auc: dict[str, float]  # of every prompt set
    threshold: float  # largest F1 on validation
    metrics: dict[str, Estimate]  # on test
    test_auc: dict[str, Estimate]  # of every prompt set, in the order of the file: none of them is selected by it
    resampled_by: str  # patient | image
    test_images: int
    test_positives: int


def evaluate(
    labels: pl.DataFrame, scores: dict[str, np.ndarray], draws: int, seed: int, source: Path = Path("labels.arrow")
) -> ZeroShotResult:
    """`labels` has columns image_id, patient_id, split, target; `scores` holds one array a prompt set, in its order.

    A part without positives or negatives is an InputError that names `source`: nothing could be chosen or measured.
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
    return ZeroShotResult(
        prompt_set=chosen,
        validation_auc=by_set,
        threshold=threshold,
        metrics=metrics,
        test_auc=fixed,
        resampled_by="patient" if known else "image",
        test_images=len(target),
        test_positives=int(target.sum()),
    )

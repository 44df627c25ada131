"""Evaluation of segmenters: overlaps of predicted and true masks, the threshold, and the figures.

Every repetition is measured beside predicting nothing. Probabilities are compared with masks at every threshold, of
which validation chooses one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from ..common.data.label_matrix import resampled
from ..common.few_shot.protocols import MeanOfSeeds
from ..common.few_shot.repetitions import means_of_seeds
from ..common.metrics.overlap import Overlaps, segmentation_metrics
from ..common.metrics.ranking import draw_weights
from .contract import RepetitionRecord


@dataclass(frozen=True)
class SeedOverlaps:
    """Pixel counts of one repetition's test part, with the best weights at the threshold chosen on validation."""

    seed: int
    kept_at: int  # step, 1-based, after which those weights were kept
    validation_dice_of_positives: float
    threshold: float  # probability
    test: Overlaps


@dataclass(frozen=True)
class Figures:
    """Figures over the repetitions."""

    resampled_by: Literal["patient", "image"]
    seeds: list[RepetitionRecord]
    metrics: dict[str, MeanOfSeeds]


def evaluate(labels: pl.DataFrame, runs: Sequence[SeedOverlaps], draws: int, seed: int) -> Figures:
    """Measure the repetitions; without any (a subset that teaches nothing) there are no figures.

    `labels` has image_id and patient_id of the test images, in the order of the counts. A figure is the mean over
    repetitions. Its interval resamples test patients (images where patients are unknown), the same ones for every
    repetition and for `predict_nothing`; its `spread` is the standard deviation over repetitions.
    """
    unit, groups = resampled(labels)
    metrics = [segmentation_metrics(run.test) for run in runs]
    once = np.ones((1, len(labels)))
    values = [{name: float(metric(once)[0]) for name, metric in each.items()} for each in metrics]
    weights = draw_weights(groups, draws, seed)
    seeds = [
        RepetitionRecord(**{name: value for name, value in vars(run).items() if name != "test"}, **figures)
        for run, figures in zip(runs, values, strict=True)
    ]
    return Figures(unit, seeds, means_of_seeds(metrics, values, weights))


THRESHOLDS = np.arange(1, 20) / 20  # probabilities .05, .10 .. .95 that a validation may choose


def count(
    probabilities: Float[np.ndarray, "images size size"], masks: Bool[np.ndarray, "images size size"]
) -> Overlaps:
    """Count pixels at every threshold, with one histogram per image."""
    images = len(masks)
    above = np.searchsorted(THRESHOLDS, probabilities.reshape(images, -1), side="right")  # number of thresholds reached
    flat = masks.reshape(images, -1)
    predicted, both = (
        np.stack([np.bincount(row, weights=part, minlength=len(THRESHOLDS) + 1) for row, part in zip(above, parts)])  # noqa: B905
        for parts in (np.ones_like(flat, dtype=np.float64), flat.astype(np.float64))
    )
    return Overlaps(flat.sum(axis=1), _at_least(predicted), _at_least(both))


def join(parts: list[Overlaps]) -> Overlaps:
    """Return the overlaps of all images of `parts`."""
    columns = ([getattr(part, name) for part in parts] for name in ("truth", "predicted", "both"))
    return Overlaps(*(np.concatenate(column) for column in columns))


def best_threshold(validation: Overlaps) -> int:
    """Return the index in THRESHOLDS of the largest mean Dice over all images; of several, the lowest."""
    return int(np.argmax(validation.dice().mean(axis=0)))


def dice_of_positives(validation: Overlaps) -> float:
    """Return the largest mean Dice, over thresholds, of images with the finding; it decides which weights are kept.

    Over all images, predicting nothing would win the first epochs, and patience would end there.
    """
    return float(validation.dice()[validation.truth > 0].mean(axis=0).max())


def _at_least(histogram: Float[np.ndarray, "images bins"]) -> Int[np.ndarray, "images thresholds"]:
    """Return the pixels that reach the k-th threshold (k from 1) from those that reach just k thresholds (k from 0)."""
    return histogram[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:].round().astype(np.int64)

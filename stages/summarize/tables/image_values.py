"""The values that the paired tests resample: each variant's test images, one by one, as the stages left them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from ...common.errors import InputError
from ...common.files.arrow_tables import read_table
from ...common.files.schemas import GROUNDING_VALUES, OVERLAPS, RANKS, SCORES
from ...common.metrics.overlap import Overlaps, segmentation_metrics
from ...common.metrics.ranking import Metric, classification_metrics, mean_of
from ...common.metrics.retrieval import FirstHits, retrieval_metrics
from ..readers.few_shot_classification import FewShot
from ..readers.few_shot_segmentation import Segmentation
from ..readers.phrase_grounding import Grounding
from ..readers.retrieval import Retrieval
from ..readers.zero_shot_classification import ZeroShot
from ..results_tree import ResultsTree

MEASURES = ("pointing", "contrast_to_noise", "iou")  # of GROUNDING_VALUES


@dataclass(frozen=True)
class ImageValues:
    """Values of the tested items: images, in retrieval also reports.

    `groups` is the patient of each item, or the image itself where patients are unknown.
    """

    source: Path
    images: list[str]
    groups: np.ndarray
    metrics: dict[str, Metric]  # each the mean over repetitions


def zero_shot_values(tree: ResultsTree, each: ZeroShot) -> ImageValues:
    """Read the values of zero-shot classification."""
    path = tree.folder("zero_shot_classification", f"{each.variant}/{each.dataset}") / "scores.arrow"
    return _values([path], SCORES, lambda rows, _: _classified(rows, each.result.threshold))


def few_shot_values(tree: ResultsTree, each: FewShot) -> ImageValues | None:
    """Read the values of few-shot classification, or None where the job was skipped."""
    folder = tree.folder("few_shot_classification", each.job.of(each.variant)) / "scores"
    seeds = each.result.seeds
    paths = [folder / f"seed_{seed.seed}.arrow" for seed in seeds]
    return _values(paths, SCORES, lambda rows, place: _classified(rows, seeds[place].threshold)) if paths else None


def segmentation_values(tree: ResultsTree, each: Segmentation) -> ImageValues | None:
    """Read the values of few-shot segmentation, or None where the job was skipped."""
    folder = tree.folder("few_shot_segmentation", each.job.of(each.variant)) / "overlaps"
    paths = [folder / f"seed_{seed.seed}.arrow" for seed in each.result.seeds]
    return _values(paths, OVERLAPS, lambda rows, _: _outlined(rows)) if paths else None


def grounding_values(tree: ResultsTree, each: Grounding, prompt_set: str) -> dict[str, ImageValues]:
    """Read, by pointer, the measures on the test positives that are defined for it."""
    path = tree.folder("phrase_grounding", f"{each.variant}/{each.dataset}") / "values.arrow"
    rows = pl.DataFrame(read_table(path, GROUNDING_VALUES)).filter(pl.col("prompt_set") == prompt_set)
    found = {}
    for (pointer,), own in rows.group_by("pointer", maintain_order=True):
        known = [measure for measure in MEASURES if not own[measure].null_count()]
        metrics = {measure: mean_of(own[measure].to_numpy().astype(np.float64)) for measure in known}
        found[str(pointer)] = ImageValues(path, own["image_id"].to_list(), _groups(own), metrics)
    return found


def retrieval_values(tree: ResultsTree, each: Retrieval) -> dict[str, ImageValues]:
    """Read, by direction, the figures over its queries; retrieval must have been measured."""
    assert each.result.figures is not None
    path = tree.folder("retrieval", each.variant) / "ranks.arrow"
    rows = pl.DataFrame(read_table(path, RANKS))
    found = {}
    for name, direction in each.result.figures.directions.items():
        own = rows.filter(pl.col("direction") == name)
        hits = FirstHits(*(own[column].to_numpy().astype(np.int64) for column in ("above", "tied", "hits")))
        metrics = retrieval_metrics(hits, direction.recall)
        found[name] = ImageValues(path, own["query_id"].to_list(), own["patient_id"].to_numpy(), metrics)
    return found


def _outlined(rows: pl.DataFrame) -> dict[str, Metric]:
    truth, predicted, both = (rows[name].to_numpy().astype(np.int64) for name in ("truth", "predicted", "both"))
    return segmentation_metrics(Overlaps(truth, predicted[:, None], both[:, None]))


def _classified(rows: pl.DataFrame, threshold: float) -> dict[str, Metric]:
    scores, targets = rows["score"].to_numpy().astype(np.float64), rows["target"].to_numpy().astype(np.int64)
    return classification_metrics(scores, targets, threshold)


def _values(
    paths: list[Path], schema: pa.Schema, metrics_of: Callable[[pl.DataFrame, int], dict[str, Metric]]
) -> ImageValues:
    """Read one file per repetition, of the same test images in the same order."""
    first, each = None, []
    for place, path in enumerate(paths):
        rows = pl.DataFrame(read_table(path, schema))
        rows = rows.filter(pl.col("split") == "test") if "split" in rows.columns else rows
        first = rows if first is None else first
        if rows["image_id"].to_list() != first["image_id"].to_list():
            raise InputError(f"{path}: other test images than {paths[0]}", remedy="run the stage again")
        each.append(metrics_of(rows, place))
    assert first is not None
    means = {name: _mean_of([metrics[name] for metrics in each]) for name in each[0]}
    return ImageValues(paths[0], first["image_id"].to_list(), _groups(first), means)


def _groups(rows: pl.DataFrame) -> np.ndarray:
    return rows["image_id" if rows["patient_id"].null_count() else "patient_id"].to_numpy()


def _mean_of(metrics: list[Metric]) -> Metric:
    return lambda weights: np.mean([metric(weights) for metric in metrics], axis=0)

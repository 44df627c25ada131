"""The values that the paired tests resample: each variant's test images, one by one, as the stages left them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from ...common.data.label_matrix import LabelMatrix, label_matrix, resampled
from ...common.errors import InputError
from ...common.files.arrow_tables import read_table
from ...common.files.schemas import CLASS_PRECISION, CLASS_SCORES, GROUNDING_VALUES, OVERLAPS, RANKS, SCORES
from ...common.metrics.classes import Classified, macro_mean
from ...common.metrics.findings import mean_over_findings, metrics_of
from ...common.metrics.overlap import Overlaps, segmentation_metrics
from ...common.metrics.ranking import Metric, mean_of, mean_over_seeds
from ...common.metrics.retrieval import FirstHits, retrieval_metrics
from ...common.records import METRICS
from ...few_shot_classification.contract import FewShotClassificationJob
from ...few_shot_segmentation.contract import FewShotSegmentationJob
from ...multi_class_classification.contract import MultiClassJob
from ...phrase_grounding.contract import PhraseGroundingJob
from ...retrieval.contract import RetrievalByClass, RetrievalFigures, RetrievalJob
from ...zero_shot_classification.contract import ZeroShotJob
from ..inputs import Inputs
from ..readers.evaluation import FewShot, Grounding, MultiClass, Retrieval, Segmentation, ZeroShot
from ..results_tree import ResultsTree

MEASURES = ("pointing", "contrast_to_noise", "iou", "mean_iou")  # of GROUNDING_VALUES


@dataclass(frozen=True)
class ImageValues:
    """Values of the tested items: images, in retrieval also reports.

    `groups` is the patient of each item, or the image itself where patients are unknown.
    """

    source: Path
    images: list[str]
    groups: np.ndarray
    metrics: dict[str, Metric]  # each the mean over repetitions


@dataclass(frozen=True)
class Repeated:
    """The values of one row of a column: of each replicate of a variant, or of what is no variant."""

    values: tuple[ImageValues, ...]
    seeds: tuple[int | None, ...] = (None,)
    trained: bool = False  # here


def repeated(inputs: Inputs, variant: str, values: Sequence[ImageValues]) -> Repeated:
    """Return the values of a variant's replicates, which are ordered as in the tree."""
    seeds = tuple(each.seed for each in inputs.tree.replicates_of(variant))
    return Repeated(tuple(values), seeds, inputs.trained(variant))


def zero_shot_values(tree: ResultsTree, each: ZeroShot) -> dict[str, ImageValues]:
    """Read the values of zero-shot classification, by finding and under "" of their mean."""
    path = tree.path(ZeroShotJob, "scores", **each.run)
    return _classified([path], [{name: own.threshold for name, own in each.result.findings.items()}])


def multi_class_values(tree: ResultsTree, each: MultiClass) -> ImageValues:
    """Read the values of multi-class classification. Raises InputError where they are not of the result's images."""
    path = tree.path(MultiClassJob, "scores", **each.run)
    rows = pl.DataFrame(read_table(path, CLASS_SCORES))
    place = {name: number for number, name in enumerate(each.result.classes)}
    truth = np.array([place[name] for name in rows["true_class"]])
    found = Classified(truth, np.array(rows["scores"].to_list(), dtype=np.float64))
    if found.confusion().tolist() != each.result.confusion:
        raise InputError(f"{path}: its images are not those of result.json beside it", remedy="run the stage again")
    return ImageValues(path, rows["image_id"].to_list(), resampled(rows)[1], found.metrics(each.result.precision_at))


def few_shot_values(tree: ResultsTree, each: FewShot) -> dict[str, ImageValues] | None:
    """Read the values of few-shot classification, as of zero-shot, or None where the job was skipped."""
    folder = tree.path(FewShotClassificationJob, "scores", **each.run)
    seeds = each.result.seeds
    paths = [folder / f"seed_{seed.seed}.arrow" for seed in seeds]
    return _classified(paths, [seed.thresholds for seed in seeds]) if paths else None


def segmentation_values(tree: ResultsTree, each: Segmentation) -> ImageValues | None:
    """Read the values of few-shot segmentation, or None where the job was skipped."""
    folder = tree.path(FewShotSegmentationJob, "overlaps", **each.run)
    paths = [folder / f"seed_{seed.seed}.arrow" for seed in each.result.seeds]
    return _values(paths, OVERLAPS, lambda rows, _: _outlined(rows)) if paths else None


def grounding_values(tree: ResultsTree, each: Grounding, prompt_set: str) -> dict[str, ImageValues]:
    """Read, by pointer, the measures on the test positives that are defined for it."""
    path = tree.path(PhraseGroundingJob, "values", **each.run)
    rows = pl.DataFrame(read_table(path, GROUNDING_VALUES))
    rows = rows.filter((pl.col("prompt_set") == prompt_set) & (pl.col("finding") == each.result.finding))
    found = {}
    for (pointer,), own in rows.group_by("pointer", maintain_order=True):
        known = [measure for measure in MEASURES if not own[measure].null_count()]
        metrics = {measure: mean_of(own[measure].to_numpy().astype(np.float64)) for measure in known}
        found[str(pointer)] = ImageValues(path, own["image_id"].to_list(), resampled(own)[1], metrics)
    return found


def retrieval_values(tree: ResultsTree, each: Retrieval, figures: RetrievalFigures) -> dict[str, ImageValues]:
    """Read, by direction, the values over its queries."""
    path = tree.path(RetrievalJob, "ranks", **each.run)
    rows = pl.DataFrame(read_table(path, RANKS))
    found = {}
    for name, direction in figures.directions.items():
        own = rows.filter(pl.col("direction") == name)
        hits = FirstHits(*(own[column].to_numpy().astype(np.int64) for column in ("above", "tied", "hits")))
        metrics = retrieval_metrics(hits, direction.recall)
        found[name] = ImageValues(path, own["query_id"].to_list(), own["patient_id"].to_numpy(), metrics)
    return found


def class_retrieval_values(tree: ResultsTree, each: Retrieval, found: RetrievalByClass) -> dict[str, ImageValues]:
    """Read, by direction, the precision@k over the queries of a class."""
    path = tree.path(RetrievalJob, "class_precision", **each.run)
    rows = pl.DataFrame(read_table(path, CLASS_PRECISION))
    names = list(found.classes)
    values = {}
    for direction, own in found.directions.items():
        by_k = {k: rows.filter((pl.col("direction") == direction) & (pl.col("k") == k)) for k in own.mean}
        classes = {k: np.array([names.index(name) for name in rows["class"]]) for k, rows in by_k.items()}
        metrics = {f"precision_at_{k}": macro_mean(rows["precision"].to_numpy(), classes[k])
                   for k, rows in by_k.items()}  # fmt: skip
        for first in [*by_k.values()][:1]:
            values[direction] = ImageValues(path, first["query_id"].to_list(), first["patient_id"].to_numpy(), metrics)
    return values


def _outlined(rows: pl.DataFrame) -> dict[str, Metric]:
    truth, predicted, both = (rows[name].to_numpy().astype(np.int64) for name in ("truth", "predicted", "both"))
    return segmentation_metrics(Overlaps(truth, predicted[:, None], both[:, None]))


def _classified(paths: list[Path], thresholds: list[Mapping[str, float]]) -> dict[str, ImageValues]:
    """Read one file of scores per repetition; all findings are drawn together, over the images of any of them."""
    tables = [label_matrix_of_scores(_test_rows(path, SCORES)) for path in paths]
    first = tables[0][0]
    images = first.images["image_id"].to_list()
    for path, (labels, _) in zip(paths, tables, strict=True):
        if labels.images["image_id"].to_list() != images or not np.array_equal(labels.targets, first.targets):
            raise InputError(f"{path}: other test images than {paths[0]}", remedy="run the stage again")
    metrics: dict[str, dict[str, Metric]] = {}
    for finding in first.findings:
        each = [metrics_of(labels, finding, scores[finding], own[finding])
                for (labels, scores), own in zip(tables, thresholds, strict=True)]  # fmt: skip
        metrics[finding] = {name: mean_over_seeds([own[name] for own in each]) for name in METRICS}
    metrics[""] = {name: mean_over_findings([metrics[finding][name] for finding in first.findings]) for name in METRICS}
    groups = first.resampled[1]
    return {finding: ImageValues(paths[0], images, groups, own) for finding, own in metrics.items()}


def label_matrix_of_scores(rows: pl.DataFrame) -> tuple[LabelMatrix, dict[str, np.ndarray]]:
    """Return the labels of rows of SCORES, and by finding the score of each image; NaN where it has no label."""
    matrix = label_matrix(rows.with_columns(subset=pl.lit(100)))
    scores = {}
    for finding in matrix.findings:
        own = rows.filter(pl.col("finding") == finding).select("image_id", "score")
        joined = matrix.images.select("image_id").join(own, on="image_id", how="left", maintain_order="left")
        scores[finding] = joined["score"].cast(pl.Float64).to_numpy()
    return matrix, scores


def _values(
    paths: list[Path], schema: pa.Schema, metrics_of: Callable[[pl.DataFrame, int], dict[str, Metric]]
) -> ImageValues:
    """Read one file per repetition, of the same test images in the same order."""
    tables = [_test_rows(path, schema) for path in paths]
    first, images = tables[0], tables[0]["image_id"].to_list()
    for path, rows in zip(paths, tables, strict=True):
        if rows["image_id"].to_list() != images:
            raise InputError(f"{path}: other test images than {paths[0]}", remedy="run the stage again")
    each = [metrics_of(rows, place) for place, rows in enumerate(tables)]
    means = {name: mean_over_seeds([metrics[name] for metrics in each]) for name in each[0]}
    return ImageValues(paths[0], images, resampled(first)[1], means)


def _test_rows(path: Path, schema: pa.Schema) -> pl.DataFrame:
    rows = pl.DataFrame(read_table(path, schema))
    return rows.filter(pl.col("split") == "test") if "split" in rows.columns else rows

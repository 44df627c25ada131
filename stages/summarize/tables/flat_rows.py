"""Every figure of every result as CSV files with one row per result: for machines, straight from the records.

A variant with several seeds has a row for each, with a column `seed`.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...common.data.patient_split import Split
from ...common.few_shot.protocols import MeanOfSeeds, PartSize, in_words
from ...common.files.atomic_files import write_text
from ...common.records import METRICS, Estimate, MetricName, has_several
from ...few_shot_segmentation.contract import FIGURES
from ...zero_shot_classification.contract import Calibration
from ..inputs import Inputs
from ..ledger import Ledger
from ..provenance import Provenance
from ..readers.evaluation import FewShot, MultiClass, Segmentation
from .grounding import POINTERS
from .judgement_rows import CsvRow, estimate_columns, judgement_rows
from .table import MEAN

ALL_CLASSES = "all classes"  # no name of a finding, which has no blanks


def zero_shot_rows(inputs: Inputs) -> list[CsvRow]:
    """Return Table 1, one row per data set, variant and finding; of several findings also their mean."""
    rows: list[CsvRow] = []
    for each in inputs.zero_shot:
        result = each.result
        for finding, own in result.findings.items():
            rows.append(
                {"dataset": each.dataset, "finding": finding, **each.replicate.columns}
                | _metric_columns(own.metrics)
                | {"score": result.score, "prompt_set": own.prompt_set,
                   "validation_auc": own.validation_auc[own.prompt_set], "threshold": own.threshold,
                   "test_images": own.test_images, "test_positives": own.test_positives,
                   "resampled_by": result.resampled_by} | _calibration_columns(own.calibration)
            )  # fmt: skip
        if result.only is None:
            mean = {"dataset": each.dataset, "finding": MEAN, **each.replicate.columns} | _metric_columns(
                result.metrics
            )
            rows.append(mean | {"test_images": result.test_images, "resampled_by": result.resampled_by})
    return rows


def _calibration_columns(found: Calibration | None) -> CsvRow:
    if found is None:
        return {}
    columns: CsvRow = {"calibration": found.method, "slope": found.slope, "bias": found.bias}
    for when, part in (("before", found.before), ("after", found.after)):
        columns[f"calibration_error_{when}"] = part.calibration_error
        columns |= estimate_columns(f"brier_{when}", part.brier)
    return columns


def multi_class_rows(inputs: Inputs) -> list[CsvRow]:
    """Return one row per data set, variant and class, and one for all classes together."""
    rows: list[CsvRow] = []
    for each in inputs.multi_class:
        result = each.result
        for name, own in result.classes.items():
            figures = {"accuracy": None, "recall": own.recall, "precision": own.precision, "f1": own.f1}
            rows.append(_class_row(each, name, own.images, figures, own.precision_at))
        means = {"accuracy": result.accuracy, "recall": None, "precision": None, "f1": result.macro_f1}
        rows.append(_class_row(each, ALL_CLASSES, result.images, means, result.precision_at))
    return rows


def _class_row(
    each: MultiClass,
    name: str,
    images: int,
    figures: Mapping[str, Estimate | None],
    precision_at: Mapping[int, Estimate],
) -> CsvRow:
    row: CsvRow = {"dataset": each.dataset, **each.replicate.columns, "class": name, "images": images}
    every = {**figures, **{f"precision_at_{k}": figure for k, figure in precision_at.items()}}
    for measure, figure in every.items():
        row |= estimate_columns(measure, figure)
    return row


def confusion_rows(inputs: Inputs) -> list[CsvRow]:
    """Return the number of images per data set, variant, true class and predicted class."""
    return [
        {"dataset": each.dataset, **each.replicate.columns, "true_class": true, "predicted_class": predicted,
         "images": number}
        for each in inputs.multi_class
        for true, numbers in zip(each.result.classes, each.result.confusion, strict=True)
        for predicted, number in zip(each.result.classes, numbers, strict=True)
    ]  # fmt: skip


def _metric_columns(metrics: Mapping[MetricName, Estimate]) -> CsvRow:
    return {key: value for name in METRICS for key, value in estimate_columns(name, metrics[name]).items()}


def few_shot_rows(inputs: Inputs) -> list[CsvRow]:
    """Return Table 2, one row per job, variant and finding; without figures where the job was skipped."""
    rows = []
    for each in inputs.few_shot:
        result = each.result
        rows += [job_row(each, name, own.images, own.metrics, METRICS) for name, own in result.findings.items()]
        if has_several(result.findings, result.not_measured):
            rows.append(job_row(each, MEAN, result.images, result.metrics, METRICS))
    return rows


def job_row(
    each: FewShot | Segmentation,
    finding: str,
    images: Mapping[Split, PartSize],
    metrics: Mapping[Any, MeanOfSeeds],
    measures: Iterable[str],
    more: tuple[str, ...] = (),
) -> CsvRow:
    """Return the row of a few-shot job: figures with interval and spread, what it trained on, overlaps last."""
    result = each.result
    row: CsvRow = vars(each.job) | {"finding": finding, **each.replicate.columns}
    figures: dict[str, MeanOfSeeds] = dict(metrics.items())
    for name in measures:
        figure = figures.get(name)
        row |= estimate_columns(name, figure) | {f"{name}_spread": figure and figure.spread}
    for part in ("train", "test"):
        row |= {f"{part}_{name}": number for name, number in images[part]}
    row |= {name: getattr(result, name) for name in more} | {"seeds": len(result.seeds)}
    row |= {"not_as_published": in_words([result.departures])}
    return row | {"resampled_by": result.resampled_by, "skipped": result.skipped} | dict(result.overlap)


def segmentation_rows(inputs: Inputs) -> list[CsvRow]:
    """Return Table 3, one row per job and variant; without figures where the job was skipped."""
    return [
        job_row(each, each.result.finding, each.result.images, each.result.metrics, FIGURES, ("input_size",))
        for each in inputs.segmentation
    ]


def retrieval_rows(inputs: Inputs) -> list[CsvRow]:
    """Return one row per variant and direction; where retrieval was skipped, one per variant that says why."""
    rows: list[CsvRow] = []
    for each in inputs.retrieval:
        found = each.result.figures
        if found is None:
            rows.append({**each.replicate.columns, "split": each.result.split, "skipped": each.result.skipped})
            continue
        for name, direction in found.directions.items():
            row: CsvRow = {**each.replicate.columns, "split": each.result.split, "direction": name}
            measured = {f"recall_at_{k}": recall for k, recall in direction.recall.items()}
            for key, figure in (measured | {"median_rank": direction.median_rank}).items():
                row |= estimate_columns(key, figure) | {f"{key}_chance": figure.chance}
            row |= {"queries": direction.queries, "candidates": direction.candidates}
            rows.append(row | found.model_dump(exclude=set(found.directions)))
    return rows


def class_retrieval_rows(inputs: Inputs) -> list[CsvRow]:
    """Return one row per variant, direction and class, and one for the mean over classes."""
    rows: list[CsvRow] = []
    for each in inputs.retrieval:
        for name, direction in (each.result.by_class.directions if each.result.by_class else {}).items():
            for label, figures in (direction.classes | {ALL_CLASSES: direction.mean}).items():
                row: CsvRow = {**each.replicate.columns, "direction": name, "class": label}
                for k, figure in figures.items():
                    row |= estimate_columns(f"precision_at_{k}", figure) | {f"precision_at_{k}_chance": figure.chance}
                rows.append(row)
    return rows


def pointing_rows(inputs: Inputs) -> list[CsvRow]:
    """Return one row per data set, prompt set and variant: its heatmap beside what it must beat."""
    return [
        {"dataset": each.dataset, "finding": each.result.finding, "prompt_set": name, **each.replicate.columns}
        | {"reading": each.result.reading[name]}
        | {
            column: value
            for pointer in POINTERS
            for column, value in estimate_columns(pointer, getattr(game, pointer)).items()
        }
        | {"test_images": each.result.images}
        for each in inputs.grounding
        for name, game in each.result.pointing.items()
    ]


def grounding_rows(inputs: Inputs) -> list[CsvRow]:
    """Return one row per data set, prompt set, variant, measure and pointer."""
    rows = []
    for each in inputs.grounding:
        result = each.result
        games = {
            name: {pointer: getattr(game, pointer) for pointer in POINTERS} for name, game in result.pointing.items()
        }
        names = ("contrast_to_noise", "absolute_contrast_to_noise", "iou", "mean_iou")
        measures = {"pointing": games} | {name: getattr(result, name) for name in names}
        for measure, sets in measures.items():
            for name, pointers in sets.items():
                place = {
                    "dataset": each.dataset,
                    "finding": result.finding,
                    "prompt_set": name,
                    "place_words": " ".join(result.place_words[name]),
                }
                rows += [
                    place
                    | {**each.replicate.columns, "measure": measure, "pointer": pointer}
                    | estimate_columns("value", figure)
                    for pointer, figure in pointers.items()
                    if figure is not None
                ]
    return rows


def integrity_rows(inputs: Inputs) -> list[CsvRow]:
    """Return phi of every variant that has one: its scale, and its AUC against the mean lung mask of each data set."""
    return [
        {
            "dataset": each.dataset,
            **each.replicate.columns,
            "lung_auc": phi.lung_auc,
            "smallest": phi.smallest,
            "largest": phi.largest,
            "standard_deviation": phi.standard_deviation,
        }
        for each in inputs.grounding
        if (phi := each.result.integrity_map) is not None
    ]


def selection_rows(inputs: Inputs) -> list[CsvRow]:
    """Return every candidate of every variant with its score on validation."""
    return [
        {
            **each.replicate.columns,
            "step": step,
            "score": score,
            "chosen": int(step == each.selection.chosen_step),
            "criterion": each.selection.criterion,
            "split": each.selection.split,
            "studies": each.selection.studies,
        }
        for each in inputs.training
        for step, score in sorted(each.selection.candidates.items())
    ]


def reject_rows(ledger: Ledger) -> list[CsvRow]:
    """Return one row per stage, data set and reason."""
    return [vars(reject) for reject in ledger.rejects]


def run_rows(provenance: Provenance) -> list[CsvRow]:
    """Return one row per run, with its whole digests."""
    return [
        {"stage": run.stage, "name": run.name, "status": run.status, "started_ms": run.started, "ended_ms": run.ended,
         "jobs": run.executions, "commit": run.commit, "mlflow_key": run.key, **run.digests}
        for run in provenance.runs
    ]  # fmt: skip


def write_flat_rows(folder: Path, inputs: Inputs, ledger: Ledger, provenance: Provenance) -> list[Path]:
    """Write all tables as CSV; None is an empty cell, and so is a column of another row."""
    tables = {
        "table1_zero_shot.csv": (zero_shot_rows(inputs), []),
        **judgement_rows(inputs),
        "multi_class.csv": (multi_class_rows(inputs), ["dataset", "variant", "class", "images"]),
        "multi_class_confusion.csv": (
            confusion_rows(inputs),
            ["dataset", "variant", "true_class", "predicted_class", "images"],
        ),
        "table2_few_shot.csv": (few_shot_rows(inputs), ["dataset", "protocol", "fraction", "finding", "variant"]),
        "table3_segmentation.csv": (
            segmentation_rows(inputs),
            ["dataset", "protocol", "fraction", "finding", "variant"],
        ),
        "retrieval.csv": (retrieval_rows(inputs), []),
        "retrieval_classes.csv": (class_retrieval_rows(inputs), ["variant", "direction", "class"]),
        "pointing.csv": (pointing_rows(inputs), []),
        "grounding.csv": (grounding_rows(inputs), []),
        "integrity_map.csv": (
            integrity_rows(inputs),
            ["dataset", "variant", "lung_auc", "smallest", "largest", "standard_deviation"],
        ),
        "selection.csv": (selection_rows(inputs), []),
        "rejects.csv": (reject_rows(ledger), ["stage", "dataset", "reason", "count"]),
        "runs.csv": (run_rows(provenance), []),
    }
    for name, (rows, header) in tables.items():
        write_text(Path(folder) / name, rows_as_csv(rows, header))
    return [Path(folder) / name for name in tables]


def rows_as_csv(rows: Sequence[Mapping[str, Any]], header: Sequence[str] = ()) -> str:
    """Write rows as CSV; `header` names the columns of a table that may have no rows. None is an empty cell."""
    buffer = io.StringIO()
    columns = list(dict.fromkeys(column for row in rows for column in row))
    writer = csv.DictWriter(buffer, columns or list(header), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()

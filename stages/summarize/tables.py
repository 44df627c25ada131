"""The results as CSV files with every digit, and as the text that the command line shows at the end."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.common.atomic_files import write_text
from stages.summarize.inputs import Inputs
from stages.summarize.ledger import Ledger
from stages.summarize.numbers import decimal, figures, interval
from stages.summarize.records import METRICS, Estimate, PointingGame

POINTERS = {  # what points, in the words of the page
    "heatmap": "heatmap",
    "heatmap_in_lung": "heatmap, peak inside the lungs",
    "random_in_lung": "random point in the lungs",
    "fixed_peak_of_training": "fixed peak of the training masks",
}
Row = dict[str, Any]


def zero_shot_rows(inputs: Inputs) -> list[Row]:
    """Table 1: one row a data set and variant."""
    rows = []
    for each in inputs.zero_shot:
        result = each.result
        row: Row = {"dataset": each.dataset, "finding": result.finding, "variant": each.variant}
        for name in METRICS:
            row |= _columns(name, result.metrics[name])
        rows.append(
            row
            | {
                "prompt_set": result.prompt_set,
                "validation_auc": result.validation_auc[result.prompt_set],
                "threshold": result.threshold,
                "test_images": result.test_images,
                "test_positives": result.test_positives,
                "resampled_by": result.resampled_by,
            }
        )
    return rows


def pointing_rows(inputs: Inputs) -> list[Row]:
    """One row a data set, prompt set and variant: its heatmap beside the two baselines on the same images."""
    return [
        {"dataset": each.dataset, "finding": each.result.finding, "prompt_set": name, "variant": each.variant}
        | {column: value for pointer in POINTERS for column, value in _columns(pointer, getattr(game, pointer)).items()}
        | {"test_images": each.result.images}
        for each in inputs.grounding
        for name, game in each.result.pointing.items()
    ]


def integrity_rows(inputs: Inputs) -> list[Row]:
    """phi of every variant that has one: its scale, and its AUC against the mean lung mask of each data set."""
    return [
        {
            "dataset": each.dataset,
            "variant": each.variant,
            "lung_auc": phi.lung_auc,
            "smallest": phi.smallest,
            "largest": phi.largest,
            "standard_deviation": phi.standard_deviation,
        }
        for each in inputs.grounding
        if (phi := each.result.integrity_map) is not None
    ]


def selection_rows(inputs: Inputs) -> list[Row]:
    """Every candidate of every variant with its score on validation."""
    return [
        {
            "variant": each.variant,
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


def reject_rows(ledger: Ledger) -> list[Row]:
    return [vars(reject) for reject in ledger.rejects]


def write_tables(folder: Path, inputs: Inputs, ledger: Ledger) -> list[Path]:
    """Write all tables as CSV; None is an empty cell."""
    tables = {
        "table1_zero_shot.csv": (zero_shot_rows(inputs), []),
        "pointing.csv": (pointing_rows(inputs), []),
        "integrity_map.csv": (
            integrity_rows(inputs),
            ["dataset", "variant", "lung_auc", "smallest", "largest", "standard_deviation"],
        ),
        "selection.csv": (selection_rows(inputs), []),
        "rejects.csv": (reject_rows(ledger), ["stage", "dataset", "reason", "count"]),
    }
    for name, (rows, header) in tables.items():
        write_text(Path(folder) / name, as_csv(rows, header))
    return [Path(folder) / name for name in tables]


def as_csv(rows: Sequence[Mapping[str, Any]], header: Sequence[str] = ()) -> str:
    """`header` names the columns of a table that may have no rows."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else list(header), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def baselines(inputs: Inputs, dataset: str, prompt_set: str) -> PointingGame:
    """The baselines of a data set and prompt set: they do not depend on the variant."""
    return next(
        game
        for each in inputs.grounding
        if each.dataset == dataset
        for name, game in each.result.pointing.items()
        if name == prompt_set
    )


def text_summary(title: str, inputs: Inputs, synthetic: Sequence[str], report: Path) -> str:
    """What `python -m stages.summarize` prints."""
    lines = [f"{title}: {', '.join(inputs.tree.variants)} on {', '.join(inputs.tree.evaluate_on)}"]
    if synthetic:
        lines += [f"Synthetic patients in {', '.join(synthetic)}: no figure speaks of real ones."]
    lines += ["", "Zero-shot AUC on the test part [95 % interval]"]
    lines += aligned(
        [("data set", "finding", "variant", "AUC", "images", "positives", "prompts")]
        + [
            (
                each.dataset,
                each.result.finding,
                variant_label(inputs, each.variant),
                interval(each.result.metrics["auc"]),
                str(each.result.test_images),
                str(each.result.test_positives),
                each.result.prompt_set,
            )
            for each in inputs.zero_shot
        ]
    )
    lines += ["", "Pointing game, share of hits; heatmaps must beat all the others to mean anything"]
    lines += aligned([("data set", "prompts", "what points", "hits", "images"), *_pointing_lines(inputs)])
    phi = [
        (
            variant_label(inputs, row["variant"]),
            row["dataset"],
            "lungs unknown" if row["lung_auc"] is None else decimal(row["lung_auc"]),
            *(figures(row[key]) for key in ("smallest", "largest", "standard_deviation")),
        )
        for row in integrity_rows(inputs)
    ]
    if phi:
        lines += ["", "Integrity map phi (centred)"]
        lines += aligned([("variant", "data set", "AUC against lungs", "min", "max", "sd"), *phi])
    return "\n".join([*lines, "", f"Report: {report}", ""])


def variant_label(inputs: Inputs, variant: str) -> str:
    """The name, with a word where the variant was not trained."""
    return variant if inputs.trained(variant) else f"{variant} (untrained)"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with columns of equal width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _pointing_lines(inputs: Inputs) -> Iterable[tuple[str, ...]]:
    for dataset in inputs.tree.evaluate_on:
        grounding = [each for each in inputs.grounding if each.dataset == dataset]
        for name in grounding[0].result.pointing:
            images = str(grounding[0].result.images)
            for each in grounding:
                label = f"heatmap of {variant_label(inputs, each.variant)}"
                game = each.result.pointing[name]
                yield dataset, name, label, interval(game.heatmap), images
                if game.heatmap_in_lung is not None:
                    yield dataset, name, f"{label}, inside the lungs", interval(game.heatmap_in_lung), images
            game = baselines(inputs, dataset, name)
            for pointer in ("random_in_lung", "fixed_peak_of_training"):
                estimate = getattr(game, pointer)
                yield dataset, name, POINTERS[pointer], interval(estimate) if estimate else "lungs unknown", images


def _columns(name: str, estimate: Estimate | None) -> Row:
    return {
        name: estimate and estimate.value,
        f"{name}_low": estimate and estimate.low,
        f"{name}_high": estimate and estimate.high,
    }

"""All tables of a run as files and as text, and the paired comparisons behind their bold figures."""

from collections.abc import Collection, Sequence
from pathlib import Path

from ...common.files.atomic_files import write_text
from ..inputs import Inputs
from ..ledger import Ledger
from ..naming import variant_label
from ..numbers import decimal, figures, interval
from .ablation import ablation_tables
from .classification import (
    few_shot_classification_tables,
    few_shot_lines,
    few_shot_rows,
    zero_shot_rows,
    zero_shot_table,
)
from .comparisons import Comparisons
from .grounding import grounding_rows, grounding_tables, integrity_rows, pointing_lines, pointing_rows
from .quoted import Quotation
from .retrieval import retrieval_lines, retrieval_rows, retrieval_tables
from .segmentation import few_shot_segmentation_tables, segmentation_lines, segmentation_rows
from .table import CsvRow, Table
from .writers import aligned, rows_as_csv, write_all


def paper_tables(
    inputs: Inputs, comparisons: Comparisons, quotations: list[Quotation], synthetic: Collection[str]
) -> list[Table]:
    """Return all tables. Nothing is quoted beside figures of synthetic patients."""
    quotable = [each for each in quotations if each.data_set not in synthetic]
    tables = [zero_shot_table(inputs, dataset, comparisons) for dataset in inputs.tree.evaluate_on]
    tables += few_shot_classification_tables(inputs, comparisons, quotable)
    tables += few_shot_segmentation_tables(inputs, comparisons, quotable)
    tables += retrieval_tables(inputs, comparisons)
    tables += grounding_tables(inputs, comparisons)
    return tables + ablation_tables(inputs, comparisons)  # last, because it reads the comparisons of the others


def write_paper_tables(folder: Path, tables: Sequence[Table], comparisons: Comparisons) -> list[Path]:
    """Write the tables and comparisons.csv; return their paths."""
    paths = [path for table in tables for path in write_all(folder, table)]
    return [*paths, comparisons.write(folder / "comparisons.csv")]


def selection_rows(inputs: Inputs) -> list[CsvRow]:
    """Return every candidate of every variant with its score on validation."""
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


def reject_rows(ledger: Ledger) -> list[CsvRow]:
    """Return the counts of rejects."""
    return [vars(reject) for reject in ledger.rejects]


def write_tables(folder: Path, inputs: Inputs, ledger: Ledger) -> list[Path]:
    """Write all tables as CSV; None is an empty cell."""
    tables = {
        "table1_zero_shot.csv": (zero_shot_rows(inputs), []),
        "table2_few_shot.csv": (few_shot_rows(inputs), ["dataset", "protocol", "fraction", "finding", "variant"]),
        "table3_segmentation.csv": (
            segmentation_rows(inputs),
            ["dataset", "protocol", "fraction", "finding", "variant"],
        ),
        "retrieval.csv": (retrieval_rows(inputs), []),
        "pointing.csv": (pointing_rows(inputs), []),
        "grounding.csv": (grounding_rows(inputs), []),
        "integrity_map.csv": (
            integrity_rows(inputs),
            ["dataset", "variant", "lung_auc", "smallest", "largest", "standard_deviation"],
        ),
        "selection.csv": (selection_rows(inputs), []),
        "rejects.csv": (reject_rows(ledger), ["stage", "dataset", "reason", "count"]),
    }
    for name, (rows, header) in tables.items():
        write_text(Path(folder) / name, rows_as_csv(rows, header))
    return [Path(folder) / name for name in tables]


def text_summary(title: str, inputs: Inputs, synthetic: Sequence[str], report: Path) -> str:
    """Return what `python -m stages.summarize` prints."""
    lines = [f"{title}: {', '.join(inputs.tree.variants)} on {', '.join(inputs.tree.evaluate_on)}"]
    if synthetic:
        lines += [f"Synthetic patients in {', '.join(synthetic)}: no figure speaks of real ones."]
    if left_out := inputs.tree.image_only:
        lines += [f"No text, so no zero-shot, grounding and retrieval ({len(left_out)}): {', '.join(left_out)}"]
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
    lines += [*few_shot_lines(inputs), *segmentation_lines(inputs), *retrieval_lines(inputs)]
    lines += ["", "Pointing game, share of hits; heatmaps must beat all the others to mean anything"]
    lines += aligned([("data set", "prompts", "what points", "hits", "images"), *pointing_lines(inputs)])
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

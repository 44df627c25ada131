"""All tables of a run: made once, then drawn by files, page and console."""

from collections.abc import Collection, Sequence
from pathlib import Path

from ..inputs import Inputs
from ..naming import variant_label
from .ablation import Ablation, ablation_tables
from .calibration import calibration_tables
from .classification import few_shot_classification_tables, zero_shot_tables
from .comparisons import Comparisons
from .coverage import coverage_tables
from .grounding import grounding_tables
from .integrity import integrity_table
from .multi_class import multi_class_tables
from .operating_points import operating_points_tables, subgroups_tables
from .quoted import Quotation
from .retrieval import class_retrieval_tables, retrieval_tables
from .segmentation import few_shot_segmentation_tables
from .study import Study, study_tables
from .table import NOTHING, Column, Table
from .writers import TEXT, aligned, as_text, write_all


def paper_tables(
    inputs: Inputs,
    comparisons: Comparisons,
    quotations: list[Quotation],
    synthetic: Collection[str],
    study: Study | None = None,
) -> list[Table]:
    """Make all tables that are written to files; nothing is quoted beside figures of synthetic patients."""
    quotable = [each for each in quotations if each.data_set not in synthetic]
    tables = coverage_tables(inputs) + zero_shot_tables(inputs, comparisons) + calibration_tables(inputs)
    tables += operating_points_tables(inputs) + subgroups_tables(inputs)
    tables += multi_class_tables(inputs, comparisons)
    tables += few_shot_classification_tables(inputs, comparisons, quotable)
    tables += few_shot_segmentation_tables(inputs, comparisons, quotable)
    tables += retrieval_tables(inputs, comparisons) + class_retrieval_tables(inputs, comparisons)
    tables += grounding_tables(inputs, comparisons)
    # last: they read the comparisons of the others
    tables += ablation_tables(inputs, comparisons)
    return tables + (study_tables(inputs, comparisons, study) if study else [])


def write_paper_tables(folder: Path, tables: Sequence[Table], comparisons: Comparisons) -> list[Path]:
    """Write each table in four forms, and the comparisons behind their bold figures."""
    paths = [path for table in tables for path in write_all(folder, table)]
    return [*paths, comparisons.write(folder / "comparisons.csv")]


def headline(title: str, inputs: Inputs, headlines: Sequence[Ablation], synthetic: Collection[str]) -> str:
    """Return the figures of Table 4 with the variants side by side: one screen, printed when a run ends.

    The last word is the name of the described training, whose model the last words of a run offer.
    """
    variants = inputs.tree.variants
    rows = [["test part of", "measure", *(TEXT.escape(variant_label(inputs, each)) for each in variants)]]
    for each in headlines:
        for measure in each.measures:
            figure = Column(measure.key, measure.header)
            cells = [TEXT.cell(measure.figures.get(variant, NOTHING), figure) for variant in variants]
            rows.append([each.dataset, TEXT.escape(measure.header), *cells])
    marked = f"synthetic patients in {', '.join(synthetic)}; " if synthetic else ""
    return "\n".join([f"{title} ({marked}brackets: 95 % intervals)", *aligned(rows),
                      f"The report describes {inputs.median(inputs.described).name}"]) + "\n"  # fmt: skip


def text_summary(title: str, inputs: Inputs, tables: Sequence[Table], synthetic: Sequence[str], report: Path) -> str:
    """Return what `python -m stages.summarize` prints."""
    lines = [f"{title}: {', '.join(inputs.tree.variants)} on {', '.join(inputs.tree.evaluate_on) or 'no labels'}"]
    if synthetic:
        real = [name for name in inputs.tree.evaluate_on if name not in synthetic]
        said = f"only figures of {', '.join(real)} speak of others" if real else "no figure speaks of real ones"
        lines += [f"Synthetic patients in {', '.join(synthetic)}: {said}."]
    if left_out := inputs.tree.image_only:
        lines += [f"No text, so no zero-shot, grounding and retrieval ({len(left_out)}): {', '.join(left_out)}"]
    if inputs.tree.seeds:
        lines += [f"Seeds: {'; '.join(each for each in inputs.tree.words if '=' in each)}"]
    for table in [*tables, integrity_table(inputs)]:
        if table is not None and any(column.brief for column in table.columns):
            lines += ["", *as_text(table)]
    skipped = {each.variant: each.result.skipped for each in inputs.retrieval if each.result.figures is None}
    for variant, why in skipped.items():
        lines += [f"Retrieval, {variant_label(inputs, variant)}: not measured, {why}"]
    lines += ["", "Brackets: 95 % intervals. All columns, notes and what is bold: on the page and in tables/."]
    return "\n".join([*lines, f"Report: {report}", ""])

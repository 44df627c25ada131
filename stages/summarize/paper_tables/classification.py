"""Tables 1 and 2: zero-shot and few-shot classification."""

from collections.abc import Sequence

from ...audit_splits.contract import Overlap
from ..inputs import Inputs
from ..numbers import words
from ..protocols import pooling_note
from ..readers.few_shot_classification import FewShot
from ..readers.record import METRICS, Estimate
from ..tables import FewShotTable, few_shot_tables, variant_label
from .comparisons import Comparisons
from .image_values import few_shot_values, zero_shot_values
from .quoted import Quotation, quoted_blocks
from .table import Block, Cell, Column, Row, Table

HEADERS = {"auc": "AUC", "average_precision": "average precision", "f1": "F1", "accuracy": "accuracy"}
SCORES = {"global": "the whole image", "local": "its best patches"}
BOLD = (
    "Bold: the best of its column, and better than every other variant by a paired bootstrap over the same {unit}s "
    "(two-sided, Holm's correction over all pairs of the column, level .05). Without bold no such claim stands."
)
FIXED = (
    "Prompts fixed: the same scores with the first prompts of the file, which no label chose, for comparison with "
    "others who fix theirs; not tested against other rows. Every other set of prompts is in the CSV."
)
INTERVALS = "Brackets: 95 % bootstrap intervals, resampled by {unit}; F1 and accuracy at thresholds from validation."


def cell(figure: Estimate, bold: bool, spread: float | None = None) -> Cell:
    return Cell(figure.value, figure.low, figure.high, spread, bold)


def overlap_notes(overlap: Overlap) -> tuple[str, ...]:
    """What must stand beside every figure."""
    return tuple(f"{words(kind)}: {number}" for kind, number in overlap.found.items())


def zero_shot_table(inputs: Inputs, dataset: str, comparisons: Comparisons) -> Table:
    """Table 1 of one data set."""
    name = f"table1_{dataset}"
    measured = [each for each in inputs.zero_shot if each.dataset == dataset]
    values = {each.variant: zero_shot_values(inputs.tree, each) for each in measured}
    best = {metric: comparisons.best(name, metric, values, metric) for metric in METRICS}
    rows = [
        Row(
            variant_label(inputs, each.variant),
            {metric: cell(each.result.metrics[metric], best[metric] == each.variant) for metric in METRICS}
            | {"prompts": Cell(text=words(each.result.prompt_set)), "threshold": Cell(each.result.threshold)}
            | {f"auc_of_{prompts}": cell(figure, bold=False) for prompts, figure in each.result.test_auc.items()},
            overlap_notes(each.result.overlap),
        )
        for each in measured
    ]
    first = measured[0].result
    return Table(
        name,
        f"Table 1. Zero-shot classification of {words(first.finding)} in {dataset} by {SCORES[first.score]}: "
        f"{first.test_images} test images, {first.test_positives} positive",
        (*(Column(metric, HEADERS[metric]) for metric in METRICS), Column("prompts", "prompts", "text"),
         Column("threshold", "threshold", shown=False),
         *(Column(f"auc_of_{prompts}", f"AUC, prompts fixed: {words(prompts)}", shown=not place)
           for place, prompts in enumerate(first.test_auc))),
        (Block("measured", tuple(rows)),),
        notes=(INTERVALS.format(unit=first.resampled_by), BOLD.format(unit=first.resampled_by),
               *([FIXED] if first.test_auc else [])),
    )  # fmt: skip


def few_shot_classification_tables(
    inputs: Inputs, comparisons: Comparisons, quotations: Sequence[Quotation]
) -> list[Table]:
    """Table 2, one a data set and protocol."""
    return [_few_shot_table(inputs, each, comparisons, list(quotations)) for each in few_shot_tables(inputs)]


def _few_shot_table(
    inputs: Inputs, table: FewShotTable, comparisons: Comparisons, quotations: list[Quotation]
) -> Table:
    name = f"table2_{table.dataset}_{table.protocol}"
    best = {fraction: _best(inputs, name, table, fraction, comparisons) for fraction in table.fractions}
    columns = tuple(
        Column(f"{metric}_{fraction}", f"{HEADERS[metric]}, {fraction} %", shown=metric in ("auc", "f1"))
        for metric in METRICS
        for fraction in table.fractions
    )
    rows = []
    for variant, cells in table.rows.items():
        found = {}
        for fraction, result in zip(table.fractions, cells, strict=True):
            for metric in METRICS:
                figure = result.metrics.get(metric)
                found[f"{metric}_{fraction}"] = (
                    Cell(text=result.skipped)
                    if figure is None
                    else cell(figure, best[fraction].get(metric) == variant, figure.spread)
                )
        rows.append(Row(variant_label(inputs, variant), found, overlap_notes(cells[0].overlap)))
    first = table.columns[0]
    seeds = max(len(each.seeds) for each in table.columns)
    quoted = tuple(
        block
        for block in quoted_blocks(quotations, "few_shot_classification", table.dataset, table.protocol)
        if any(key in {column.key for column in columns} for row in block.rows for key in row.cells)
    )
    return Table(
        name,
        f"Table 2. Few-shot classification of {words(first.finding)} in {table.dataset}, protocol {table.name}: "
        f"{first.images['test'].images} test images, {first.images['test'].positives} positive",
        columns,
        (Block("measured", tuple(rows), protocol=table.note or ""), *(restricted(block, columns) for block in quoted)),
        notes=(
            *(note for note in (table.note, table.always) if note),
            pooling_note(inputs.pooling),
            f"Percentages are shares of the training images. Means of {seeds} repetitions; after \u00b1 their standard "
            "deviation, over head and order of batches on one subset.",
            INTERVALS.format(unit=first.resampled_by),
            BOLD.format(unit=first.resampled_by),
        ),
    )


def restricted(block: Block, columns: Sequence[Column]) -> Block:
    """A quoted block without figures of columns that this run does not have."""
    known = {column.key for column in columns}
    rows = (Row(row.label, {key: each for key, each in row.cells.items() if key in known}) for row in block.rows)
    return Block(block.kind, tuple(rows), block.source, block.protocol)


def _best(
    inputs: Inputs, name: str, table: FewShotTable, fraction: int, comparisons: Comparisons
) -> dict[str, str | None]:
    """Metric -> the variant in bold."""
    jobs: list[FewShot] = [
        each for each in inputs.few_shot
        if (each.job.dataset, each.job.protocol, each.job.fraction) == (table.dataset, table.protocol, fraction)
    ]  # fmt: skip
    values = {each.variant: few_shot_values(inputs.tree, each) for each in jobs}
    known = {variant: each for variant, each in values.items() if each is not None}
    if len(known) < len(values):
        return {}
    return {metric: comparisons.best(name, f"{metric}_{fraction}", known, metric) for metric in METRICS}

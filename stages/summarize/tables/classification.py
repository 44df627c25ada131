"""Tables 1 and 2: zero-shot and few-shot classification."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...common.few_shot.protocols import in_words
from ...common.records import METRICS, Estimate, Overlap
from ...few_shot_classification.contract import FewShotResult
from ..inputs import Inputs
from ..naming import always_note, pooling_note, protocol_name, protocol_note, variant_label
from ..numbers import decimal, interval, words
from ..readers.few_shot_classification import FewShot
from ..readers.few_shot_segmentation import Segmentation
from .comparisons import Comparisons
from .image_values import few_shot_values, zero_shot_values
from .quoted import Quotation, quoted_blocks
from .table import Block, Cell, Column, CsvRow, Row, Table, estimate_columns
from .writers import aligned

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


@dataclass(frozen=True)
class FewShotTable:
    """Table 2 of one data set and protocol: `rows` holds the cells of a variant, one per fraction (in percent)."""

    dataset: str
    protocol: str
    fractions: list[int]
    rows: dict[str, list[FewShotResult]]

    @property
    def columns(self) -> list[FewShotResult]:
        """Return a cell of every fraction, for what does not depend on the variant."""
        return next(iter(self.rows.values()))

    @property
    def name(self) -> str:
        """Return the protocol's name, marked where a setting departs from the published one."""
        return protocol_name(self.protocol, self.columns)

    @property
    def note(self) -> str | None:
        """Return in which settings jobs depart from the published protocol, or None."""
        return protocol_note(self.protocol, self.columns)

    @property
    def always(self) -> str | None:
        """Return how the protocol always differs from the published one, or None."""
        return always_note(self.columns)


def cell(figure: Estimate, bold: bool, spread: float | None = None) -> Cell:
    """Return a figure as a cell."""
    return Cell(figure.value, figure.low, figure.high, spread, bold)


def overlap_notes(overlap: Overlap) -> tuple[str, ...]:
    """Return what must stand beside every figure."""
    return tuple(f"{words(kind)}: {number}" for kind, number in overlap.found.items())


def zero_shot_table(inputs: Inputs, dataset: str, comparisons: Comparisons) -> Table:
    """Return Table 1 of one data set."""
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
    """Return Table 2, one per data set and protocol."""
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
    """Return a quoted block without figures of columns that this run does not have."""
    known = {column.key for column in columns}
    rows = (Row(row.label, {key: each for key, each in row.cells.items() if key in known}) for row in block.rows)
    return Block(block.kind, tuple(rows), block.source, block.protocol)


def _best(
    inputs: Inputs, name: str, table: FewShotTable, fraction: int, comparisons: Comparisons
) -> dict[str, str | None]:
    """Return metric -> the variant in bold."""
    jobs: list[FewShot] = [
        each for each in inputs.few_shot
        if (each.job.dataset, each.job.protocol, each.job.fraction) == (table.dataset, table.protocol, fraction)
    ]  # fmt: skip
    values = {each.variant: few_shot_values(inputs.tree, each) for each in jobs}
    known = {variant: each for variant, each in values.items() if each is not None}
    if len(known) < len(values):
        return {}
    return {metric: comparisons.best(name, f"{metric}_{fraction}", known, metric) for metric in METRICS}


def zero_shot_rows(inputs: Inputs) -> list[CsvRow]:
    """Return the rows of Table 1, one per data set and variant."""
    rows = []
    for each in inputs.zero_shot:
        result = each.result
        row: CsvRow = {"dataset": each.dataset, "finding": result.finding, "variant": each.variant}
        for name in METRICS:
            row |= estimate_columns(name, result.metrics[name])
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


def few_shot_rows(inputs: Inputs) -> list[CsvRow]:
    """Return the rows of Table 2, one per job and variant; without figures where the job was skipped."""
    return [job_row(each, METRICS) for each in inputs.few_shot]


def few_shot_tables(inputs: Inputs) -> list[FewShotTable]:
    """Return Table 2 of every data set and protocol."""
    tables: dict[tuple[str, str], FewShotTable] = {}
    for each in inputs.few_shot:
        place = (each.job.dataset, each.job.protocol)
        table = tables.setdefault(place, FewShotTable(*place, [], {}))
        if each.job.fraction not in table.fractions:
            table.fractions.append(each.job.fraction)
        table.rows.setdefault(each.variant, []).append(each.result)
    return list(tables.values())


def _few_shot_cell(result: FewShotResult) -> str:
    overlaps = "".join(f"; {words(kind)}: {number}" for kind, number in result.overlap.found.items())
    if result.skipped is not None:
        return f"- {result.skipped}{overlaps}"
    auc = result.metrics["auc"]
    return interval(auc) + ("" if auc.spread is None else f" +- {decimal(auc.spread)}") + overlaps


def job_row(each: FewShot | Segmentation, measures: Iterable[str], more: tuple[str, ...] = ()) -> CsvRow:
    """Return the row of a few-shot job of one variant.

    It has figures with interval and spread, what the job trained on, and overlaps last.
    """
    result = each.result
    row: CsvRow = vars(each.job) | {"finding": result.finding, "variant": each.variant}
    for name in measures:
        figure = result.metrics.get(name)
        row |= estimate_columns(name, figure) | {f"{name}_spread": figure and figure.spread}
    for part in ("train", "test"):
        row |= {f"{part}_{name}": number for name, number in result.images[part]}
    row |= {name: getattr(result, name) for name in more} | {"seeds": len(result.seeds)}
    row |= {"not_as_published": in_words([result.departures])}
    return row | {"resampled_by": result.resampled_by, "skipped": result.skipped} | dict(result.overlap)


def few_shot_lines(inputs: Inputs) -> Iterable[str]:
    """Yield Table 2 as lines of text."""
    for table in few_shot_tables(inputs):
        yield from (
            "",
            f"Few-shot AUC on the test part [95 % interval] +- over seeds: {table.dataset}, {table.name}",
            *([f"  {table.note}"] if table.note else []),
        )
        train = [each.images["train"] for each in table.columns]
        header = [f"{fraction} %, {part.images} images ({part.positives} positives)"
                  for fraction, part in zip(table.fractions, train, strict=True)]  # fmt: skip
        yield from aligned(
            [("variant", *header)]
            + [(variant_label(inputs, variant), *map(_few_shot_cell, cells)) for variant, cells in table.rows.items()]
        )

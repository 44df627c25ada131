"""Tables 1 and 2: zero-shot and few-shot classification."""

from collections.abc import Sequence
from typing import Literal, TypeVar

from ...common.few_shot.protocols import PartSize
from ...common.records import METRICS, Overlap
from ...common.wording import counted
from ..inputs import Inputs
from ..naming import always_note, pooling_note, protocol_name, protocol_note, variant_label
from ..numbers import count, words
from ..readers.evaluation import FewShot, Segmentation
from .comparisons import Comparisons
from .image_values import few_shot_values, zero_shot_values
from .quoted import Quotation, quoted_blocks
from .table import Block, Cell, Column, Row, Table, axis_of, cell_of

HEADERS = {"auc": "AUC", "average_precision": "average precision", "f1": "F1", "accuracy": "accuracy"}
SCORES = {"global": "the whole image", "local": "its best patches"}
BOLD = (
    "Bold: the best of its column, and better than every other {rival} by a paired bootstrap over the same {unit}s "
    "(two-sided, Holm's correction over all pairs of the column, level .05). Without bold no such claim stands."
)
INTERVALS = "Brackets: 95 % bootstrap intervals, resampled by {unit}."
THRESHOLDS = "F1 and accuracy are at the threshold of the largest F1 on validation."
FIXED = (
    "Prompts fixed: the same scores with the first prompts of the file, which no label chose, for comparison with "
    "others who fix theirs; not tested against other rows. Every other set of prompts is in the CSV."
)
CHOICE = (
    "Choosing prompts uses the labels of the validation part. Papers that fix their prompts use none: compare those "
    "with the first set, which stands first in the file of prompts. The largest figure of a row was picked by nobody; "
    "to quote it would be to choose on the test part."
)


def bold_note(unit: str, rival: Literal["variant", "row"] = "variant") -> str:
    """Say what bold means; `unit` is what the bootstrap resamples."""
    return BOLD.format(rival=rival, unit=unit)


def intervals_note(unit: str) -> str:
    """Say what brackets are; images of one patient that count as several make them too narrow."""
    unknown = " Patients are unknown, so that they may be too narrow." if unit == "image" else ""
    return INTERVALS.format(unit=unit) + unknown


def overlap_notes(overlap: Overlap) -> tuple[str, ...]:
    """Return what must stand beside every figure."""
    return tuple(f"{words(kind)}: {count(number)}" for kind, number in overlap.found.items())


def zero_shot_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Make Table 1, one per data set; empty where no variant has text."""
    datasets = dict.fromkeys(each.dataset for each in inputs.zero_shot)
    return [_zero_shot_table(inputs, dataset, comparisons) for dataset in datasets]


def _zero_shot_table(inputs: Inputs, dataset: str, comparisons: Comparisons) -> Table:
    name = f"table1_{dataset}"
    measured = [each for each in inputs.zero_shot if each.dataset == dataset]
    values = {each.variant: zero_shot_values(inputs.tree, each) for each in measured}
    best = {metric: comparisons.best(name, metric, values, metric) for metric in METRICS}
    rows = []
    for each in measured:
        result = each.result
        cells: dict[str, Cell] = {}
        for metric in METRICS:
            cells[metric] = cell_of(result.metrics[metric], best[metric] == each.variant)
        cells |= {"prompts": Cell(text=words(result.prompt_set)), "threshold": Cell(result.threshold),
                  "validation_auc": Cell(result.validation_auc[result.prompt_set])}  # fmt: skip
        for prompts, figure in result.test_auc.items():
            remark = "chosen" if prompts == result.prompt_set else ""
            cells[f"auc_of_{prompts}"] = Cell(figure.value, figure.low, figure.high, remark=remark)
        rows.append(Row(variant_label(inputs, each.variant), cells, overlap_notes(result.overlap), each.variant))
    first = measured[0].result
    axis = axis_of([each.result.metrics["auc"] for each in inputs.zero_shot], reference=0.5)
    return Table(
        name,
        f"Table 1. Zero-shot classification of {words(first.finding)} in {dataset} by {SCORES[first.score]}: "
        f"{counted(first.test_images, 'test image')}, {count(first.test_positives)} positive",
        (Column("auc", HEADERS["auc"], brief=True, axis=axis),
         *(Column(metric, HEADERS[metric]) for metric in METRICS if metric != "auc"),
         Column("prompts", "prompts", "text", brief=True),
         Column("validation_auc", "AUC on validation", shown=False), Column("threshold", "threshold", shown=False),
         *(Column(f"auc_of_{prompts}", f"AUC, prompts fixed: {words(prompts)}", shown=not place)
           for place, prompts in enumerate(first.test_auc))),
        (Block("measured", tuple(rows)),),
        legend=(f"{intervals_note(first.resampled_by)} {THRESHOLDS}", bold_note(first.resampled_by),
                *([FIXED] if first.test_auc else [])),
        task="zero_shot",
    )  # fmt: skip


def prompts_table(table: Table) -> Table:
    """Return Table 1 with what the choice of prompts and threshold rests on, and the AUC of every set of prompts."""
    sets = [column.key for column in table.columns if column.key.startswith("auc_of_")]
    caption = f"{table.caption}; AUC on the test part with each set of prompts"
    return table.showing(["prompts", "validation_auc", "threshold", *sets], caption, (CHOICE,) if sets else ())


def few_shot_classification_tables(
    inputs: Inputs, comparisons: Comparisons, quotations: Sequence[Quotation]
) -> list[Table]:
    """Return Table 2, one per data set and protocol."""
    return [_few_shot_table(inputs, each, comparisons, quotations) for each in by_protocol(inputs.few_shot)]


FewShotCell = TypeVar("FewShotCell", FewShot, Segmentation)


def by_protocol(measured: Sequence[FewShotCell]) -> list[list[FewShotCell]]:
    """Return the results grouped by data set and protocol, in their order: each group is one table."""
    groups: dict[tuple[str, str], list[FewShotCell]] = {}
    for each in measured:
        groups.setdefault((each.job.dataset, each.job.protocol), []).append(each)
    return list(groups.values())


def _few_shot_table(
    inputs: Inputs, measured: list[FewShot], comparisons: Comparisons, quotations: Sequence[Quotation]
) -> Table:
    job, first = measured[0].job, measured[0].result
    name = f"table2_{job.dataset}_{job.protocol}"
    by_fraction = {each.job.fraction: [other for other in measured if other.job.fraction == each.job.fraction]
                   for each in measured}  # fmt: skip
    columns = tuple(
        Column(f"{metric}_{fraction}", f"{HEADERS[metric]}, {fraction} %", shown=metric in ("auc", "f1"),
               brief=metric == "auc")
        for metric in METRICS
        for fraction in by_fraction
    )  # fmt: skip
    cells: dict[str, dict[str, Cell]] = {}
    for fraction, jobs in by_fraction.items():
        best = _best(inputs, name, jobs, comparisons)
        for each in jobs:
            cells.setdefault(each.variant, {}).update(_few_shot_cells(each, fraction, best))
    rows = (Row(variant_label(inputs, variant), found, key=variant) for variant, found in cells.items())
    results = [each.result for each in measured]
    changed, always = protocol_note(job.protocol, results), always_note(results)
    quoted = quoted_blocks(quotations, "few_shot_classification", job.dataset, job.protocol)
    return Table(
        name,
        f"Table 2. Few-shot classification of {words(first.finding)} in {job.dataset}, protocol "
        f"{protocol_name(job.protocol, results)}: {counted(first.images['test'].images, 'test image')}, "
        f"{count(first.images['test'].positives)} positive; "
        f"training: {training_sizes(measured, 'positive', 'positives')}",
        columns,
        (Block("measured", tuple(rows), protocol=changed or ""), *restricted(quoted, columns)),
        notes=tuple(note for note in (changed, always) if note),
        legend=(
            pooling_note(inputs.pooling),
            "Percentages are shares of the training images. Means of the repetitions; after \u00b1 their standard "
            "deviation, over head and order of batches on one subset: it does not say how another subset would do.",
            f"{intervals_note(first.resampled_by)} {THRESHOLDS}",
            bold_note(first.resampled_by),
        ),
        task="few_shot",
    )


def training_sizes(measured: Sequence[FewShot] | Sequence[Segmentation], positive: str, positives: str) -> str:
    """Return what the jobs of one protocol were trained with: 10 %, 20 images (8 positives), seeds: 3; ..."""
    sizes: dict[int, tuple[PartSize, int]] = {}
    for each in measured:
        sizes.setdefault(each.job.fraction, (each.result.images["train"], len(each.result.seeds)))
    return "; ".join(
        f"{fraction} %, {counted(part.images, 'image')} ({counted(part.positives, positive, positives)}), "
        f"seeds: {seeds}"
        for fraction, (part, seeds) in sizes.items()
    )


def _few_shot_cells(each: FewShot, fraction: int, best: dict[str, str | None]) -> dict[str, Cell]:
    result, notes = each.result, overlap_notes(each.result.overlap)
    cells: dict[str, Cell] = {}
    for metric in METRICS:
        if (figure := result.metrics.get(metric)) is None:
            cells[f"{metric}_{fraction}"] = Cell(text=result.skipped, notes=notes)
        else:
            cells[f"{metric}_{fraction}"] = Cell(figure.value, figure.low, figure.high, figure.spread,
                                                 best.get(metric) == each.variant, notes=notes)  # fmt: skip
    return cells


def restricted(blocks: Sequence[Block], columns: Sequence[Column]) -> list[Block]:
    """Return quoted blocks without the figures, rows and blocks of columns that this run does not have."""
    known = {column.key for column in columns}
    found = []
    for block in blocks:
        rows = [Row(row.label, {key: each for key, each in row.cells.items() if key in known}) for row in block.rows]
        if any(row.cells for row in rows):
            found.append(Block(block.kind, tuple(rows), block.source, block.protocol))
    return found


def _best(inputs: Inputs, name: str, jobs: list[FewShot], comparisons: Comparisons) -> dict[str, str | None]:
    """Return metric -> the variant in bold."""
    values = {each.variant: few_shot_values(inputs.tree, each) for each in jobs}
    known = {variant: each for variant, each in values.items() if each is not None}
    if len(known) < len(values):
        return {}
    fraction = jobs[0].job.fraction
    return {metric: comparisons.best(name, f"{metric}_{fraction}", known, metric) for metric in METRICS}

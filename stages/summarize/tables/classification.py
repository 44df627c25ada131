"""Tables 1 and 2: zero-shot and few-shot classification."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

from ...common.few_shot.protocols import PartSize
from ...common.records import METRICS, Estimate, Overlap, has_several
from ...common.wording import counted
from ...zero_shot_classification.contract import FindingResult
from ..inputs import Inputs
from ..naming import always_note, findings_label, pooling_note, protocol_name, protocol_note, variant_label
from ..numbers import count, words
from ..readers.evaluation import FewShot, Segmentation, ZeroShot, by_variant, grouped
from .comparisons import Comparisons
from .findings import ByFinding, findings_table
from .image_values import ImageValues, Repeated, few_shot_values, repeated, zero_shot_values
from .quoted import Quotation, quoted_blocks
from .seeds import mean_and_spread, seeds_cell, seeds_note
from .table import Block, Cell, Column, Row, Table, axis_of

HEADERS = {"auc": "AUC", "average_precision": "average precision", "f1": "F1", "accuracy": "accuracy"}
SCORES = {
    "global": "the whole image",
    "local": "its best patches",
    "global_and_local": "the whole image and its best patches",
}
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
MEANS = (
    "Means over the findings of the table below, each with the prompts and the threshold that validation chose for it; "
    "a draw that leaves a finding without positives leaves it out of its mean."
)
CHOICE = (
    "Choosing prompts uses the labels of the validation part. Papers that fix their prompts use none: compare those "
    "with the first set, which stands first in the file of prompts. The largest figure of a row was picked by nobody; "
    "to quote it would be to choose on the test part."
)


def bold_notes(
    inputs: Inputs,
    comparisons: Comparisons,
    table: str,
    variants: Iterable[str],
    unit: str,
    rival: Literal["variant", "row"] = "variant",
) -> tuple[str, ...]:
    """Say what bold means, or why there is none, and what figures of several seeds are.

    `unit` is what the bootstrap resamples. The columns of the table must have been compared.
    """
    bold = comparisons.why_no_bold(inputs, [table], variants) or [BOLD.format(rival=rival, unit=unit)]
    return (*seeds_note(inputs), *bold)


def intervals_note(unit: str) -> str:
    """Say what brackets are; images of one patient that count as several make them too narrow."""
    unknown = " Patients are unknown, so that they may be too narrow." if unit == "image" else ""
    return INTERVALS.format(unit=unit) + unknown


def overlap_notes(overlap: Overlap) -> tuple[str, ...]:
    """Return what must stand beside every figure."""
    return tuple(f"{words(kind)}: {count(number)}" for kind, number in overlap.found.items())


def zero_shot_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Make Table 1, one per data set; empty where no variant has text."""
    tables = []
    for dataset in dict.fromkeys(each.dataset for each in inputs.zero_shot):
        measured = [each for each in inputs.zero_shot if each.dataset == dataset]
        values = {variant: _by_finding(inputs, variant, [zero_shot_values(inputs.tree, each) for each in own])
                  for variant, own in by_variant(measured).items()}  # fmt: skip
        tables.append(_zero_shot_table(inputs, measured, values, comparisons))
        if measured[0].result.only is None:
            tables.append(_zero_shot_findings(inputs, measured, values, comparisons))
    return tables


Values = Mapping[str, Mapping[str, Repeated]]  # by variant, then by finding; "" is the mean over findings


def _by_finding(inputs: Inputs, variant: str, values: Sequence[Mapping[str, ImageValues]]) -> dict[str, Repeated]:
    """Return, by finding and under "" of their mean, the values of a variant's replicates."""
    return {finding: repeated(inputs, variant, [each[finding] for each in values]) for finding in values[0]}


def _zero_shot_findings(
    inputs: Inputs, measured: Sequence[ZeroShot], values: Values, comparisons: Comparisons
) -> Table:
    first, dataset = measured[0].result, measured[0].dataset
    rows = [
        ByFinding(variant, {finding: [each.result.findings[finding].metrics["auc"] for each in own]
                            for finding in first.findings},
                  [each.result.metrics["auc"] for each in own], values[variant])
        for variant, own in by_variant(measured).items()
    ]  # fmt: skip
    sizes = {finding: PartSize(images=each.test_images, positives=each.test_positives)
             for finding, each in first.findings.items()}  # fmt: skip
    caption = f"Table 1, by finding. AUC of zero-shot classification in {dataset}"
    return findings_table(f"table1_{dataset}_findings", caption, "zero_shot_findings", inputs, rows, sizes,
                          first.not_measured, first.resampled_by, comparisons)  # fmt: skip


def _prompt_cells(own: Sequence[FindingResult]) -> dict[str, Cell]:
    """Return what validation chose, and the AUC of every set of prompts, of the only finding of each replicate."""
    chosen = [each.prompt_set for each in own]
    threshold, threshold_spread = mean_and_spread([each.threshold for each in own])
    validation, validation_spread = mean_and_spread([each.validation_auc[each.prompt_set] for each in own])
    cells = {"prompts": Cell(text=", ".join(map(words, dict.fromkeys(chosen)))),
             "threshold": Cell(threshold, spread=threshold_spread),
             "validation_auc": Cell(validation, spread=validation_spread)}  # fmt: skip
    for prompts in own[0].test_auc:
        count = chosen.count(prompts)
        remark = "" if not count else "chosen" if count == len(own) else f"chosen by {count} of {len(own)}"
        cells[f"auc_of_{prompts}"] = replace(seeds_cell([each.test_auc[prompts] for each in own]), remark=remark)
    return cells


def _zero_shot_table(inputs: Inputs, measured: Sequence[ZeroShot], values: Values, comparisons: Comparisons) -> Table:
    dataset, first = measured[0].dataset, measured[0].result
    name, only = f"table1_{dataset}", first.only
    means = {variant: each[""] for variant, each in values.items()}
    best = {metric: comparisons.best(name, metric, means, metric) for metric in METRICS}
    rows = []
    for variant, own in by_variant(measured).items():
        cells: dict[str, Cell] = {
            metric: seeds_cell([each.result.metrics[metric] for each in own],
                               comparisons.over_seeds(name, metric, variant), best[metric] == variant)
            for metric in METRICS
        }  # fmt: skip
        if only is not None:
            cells |= _prompt_cells([each.result.only for each in own if each.result.only is not None])
        rows.append(Row(variant_label(inputs, variant), cells, overlap_notes(own[0].result.overlap), variant))
    axis = axis_of([each.result.metrics["auc"] for each in inputs.zero_shot], reference=0.5)
    return Table(
        name,
        f"Table 1. Zero-shot classification of {findings_label(first.findings, first.not_measured)} in {dataset} by "
        f"{SCORES[first.score]}: {counted(first.test_images, 'test image')}"
        + (f", {count(only.test_positives)} positive" if only else "; means over findings"),
        (Column("auc", HEADERS["auc"], brief=True, axis=axis),
         *(Column(metric, HEADERS[metric]) for metric in METRICS if metric != "auc"),
         *(_prompt_columns(only) if only else ())),
        (Block("measured", tuple(rows)),),
        legend=(intervals_note(first.resampled_by), THRESHOLDS,
                *bold_notes(inputs, comparisons, name, values, first.resampled_by), FIXED if only else MEANS),
        task="zero_shot",
    )  # fmt: skip


def _prompt_columns(only: FindingResult) -> tuple[Column, ...]:
    return (
        Column("prompts", "prompts", "text", brief=True),
        Column("validation_auc", "AUC on validation", shown=False), Column("threshold", "threshold", shown=False),
        *(Column(f"auc_of_{prompts}", f"AUC, prompts fixed: {words(prompts)}", shown=not place)
          for place, prompts in enumerate(only.test_auc)),
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
    tables = []
    for each in by_protocol(inputs.few_shot):
        tables.append(_few_shot_table(inputs, each, comparisons, quotations))
        largest = [cell for cell in each if cell.job.fraction == max(other.job.fraction for other in each)]
        first, is_skipped = largest[0].result, any(cell.result.skipped for cell in largest)
        if has_several(first.findings, first.not_measured) and not is_skipped:
            tables.append(_few_shot_findings(inputs, largest, comparisons))
    return tables


def other_findings_note(measured: Sequence[FewShot]) -> str | None:
    """Return which shares of the labels have means over fewer findings than others, or None."""
    every = {finding for each in measured for finding in each.result.findings}
    lacking: dict[int, list[str]] = {}
    for each in measured:
        if left := sorted(every - each.result.findings.keys()):
            lacking[each.job.fraction] = left
    parts = [f"{fraction} % without {', '.join(map(words, left))}" for fraction, left in lacking.items()]
    return f"Means over other findings: {'; '.join(parts)}, which the subset cannot teach." if parts else None


def _few_shot_findings(inputs: Inputs, measured: Sequence[FewShot], comparisons: Comparisons) -> Table:
    """Make the table by finding, of the largest share of labels."""
    job, first = measured[0].job, measured[0].result
    rows = []
    for variant, own in by_variant(measured).items():
        figures = {finding: [each.result.findings[finding].metrics["auc"] for each in own]
                   for finding in first.findings}  # fmt: skip
        values = [each for cell in own if (each := few_shot_values(inputs.tree, cell)) is not None]
        assert len(values) == len(own), "none of these jobs was skipped"
        means = [each.result.metrics["auc"] for each in own]
        rows.append(ByFinding(variant, figures, means, _by_finding(inputs, variant, values)))
    sizes = {finding: each.images["test"] for finding, each in first.findings.items()}
    named = protocol_name(job.protocol, [each.result for each in measured])
    caption = f"Table 2, by finding. AUC of few-shot classification in {job.dataset}, protocol {named}"
    name = f"table2_{job.dataset}_{job.protocol}_findings"
    return findings_table(name, f"{caption}, {job.fraction} %", "few_shot", inputs, rows, sizes,
                          first.not_measured, first.resampled_by, comparisons)  # fmt: skip


FewShotCell = TypeVar("FewShotCell", FewShot, Segmentation)


def by_protocol(measured: Sequence[FewShotCell]) -> list[list[FewShotCell]]:
    """Return the results grouped by data set and protocol, in their order: each group is one table."""
    return list(grouped(measured, lambda each: (each.job.dataset, each.job.protocol)).values())


def _few_shot_table(
    inputs: Inputs, measured: list[FewShot], comparisons: Comparisons, quotations: Sequence[Quotation]
) -> Table:
    job, whole = measured[0].job, max(measured, key=lambda each: each.job.fraction).result
    name, several = f"table2_{job.dataset}_{job.protocol}", has_several(whole.findings, whole.not_measured)
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
        for variant, own in by_variant(jobs).items():
            over_seeds = [comparisons.over_seeds(name, f"{metric}_{fraction}", variant) for metric in METRICS]
            cells.setdefault(variant, {}).update(_few_shot_cells(own, fraction, best, over_seeds))
    rows = (Row(variant_label(inputs, variant), found, key=variant) for variant, found in cells.items())
    results = [each.result for each in measured]
    changed, always = protocol_note(job.protocol, results), always_note(results)
    notes = tuple(note for note in (changed, other_findings_note(measured)) if note)
    quoted = quoted_blocks(quotations, "few_shot_classification", job.dataset, job.protocol)
    return Table(
        name,
        f"Table 2. Few-shot classification of {findings_label(whole.findings, whole.not_measured)} in {job.dataset}, "
        f"protocol {protocol_name(job.protocol, results)}: {counted(whole.images['test'].images, 'test image')}, "
        f"{count(whole.images['test'].positives)} positive{'; means over findings' if several else ''}; "
        f"training: {training_sizes(measured, 'positive', 'positives')}",
        columns,
        (Block("measured", tuple(rows), protocol=changed or ""), *restricted(quoted, columns)),
        notes=notes,
        legend=(
            pooling_note(inputs.pooling),
            "Percentages are shares of the training images. Means of the repetitions; after \u00b1 their standard "
            "deviation, over head and order of batches on one subset: it does not say how another subset would do.",
            intervals_note(whole.resampled_by),
            THRESHOLDS,
            *bold_notes(inputs, comparisons, name, cells, whole.resampled_by),
            *([always] if always else []),
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


def _few_shot_cells(
    own: Sequence[FewShot], fraction: int, best: Mapping[str, str | None], over_seeds: Sequence[Estimate | None]
) -> dict[str, Cell]:
    notes = overlap_notes(own[0].result.overlap)
    skipped = [each.result.skipped for each in own if each.result.skipped is not None]
    cells: dict[str, Cell] = {}
    for metric, mean in zip(METRICS, over_seeds, strict=True):
        if skipped:
            cells[f"{metric}_{fraction}"] = Cell(text=skipped[0], notes=notes)
        else:
            figures = [each.result.metrics[metric] for each in own]
            cell = seeds_cell(figures, mean, best.get(metric) == own[0].variant)
            cells[f"{metric}_{fraction}"] = replace(cell, notes=notes)
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
    values = {each.replicate: few_shot_values(inputs.tree, each) for each in jobs}
    known = {replicate: each[""] for replicate, each in values.items() if each is not None}
    if len(known) < len(values):
        return {}
    rows = {variant: repeated(inputs, variant, [known[each.replicate] for each in own])
            for variant, own in by_variant(jobs).items()}  # fmt: skip
    fraction = jobs[0].job.fraction
    return {metric: comparisons.best(name, f"{metric}_{fraction}", rows, metric) for metric in METRICS}

"""Tables of a data set with several findings: the AUC of each finding, with a column per variant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...common.few_shot.protocols import PartSize
from ...common.records import Estimate
from ...common.wording import counted
from ..inputs import Inputs
from ..naming import variant_label
from ..numbers import count, words
from .comparisons import Comparisons
from .image_values import Repeated
from .seeds import seeds_cell, seeds_note
from .table import MEAN, Block, Cell, Column, Row, Table, Task

NOTE = "Each finding is measured on the test images in which it is labelled, all with the same draws."
BOLD = (
    "Bold: the best of its row, and better than every other variant by a paired bootstrap over the same {unit}s "
    "(two-sided, Holm's correction over all pairs of all findings, level .05)."
)


@dataclass(frozen=True)
class ByFinding:
    """Hold what the replicates of a variant reached on each finding, and the mean.

    `values` are by finding, "" for the mean.
    """

    variant: str
    figures: Mapping[str, Sequence[Estimate]]
    mean: Sequence[Estimate]
    values: Mapping[str, Repeated]


def findings_table(
    name: str,
    caption: str,
    task: Task,
    inputs: Inputs,
    measured: Sequence[ByFinding],
    sizes: Mapping[str, PartSize],
    not_measured: Mapping[str, str],
    unit: str,
    comparisons: Comparisons,
) -> Table:
    """Make the table; `sizes` are the test images of each finding, `unit` is what the bootstrap resamples."""
    families = {finding: {each.variant: each.values[finding] for each in measured} for finding in sizes}
    best = comparisons.best_of_each(name, families, "auc")
    rows = []
    for finding, size in sizes.items():
        cells = {"positives": Cell(text=f"{count(size.positives)} of {count(size.images)}")}
        for each in measured:
            over_seeds = comparisons.over_seeds(name, finding, each.variant)
            cells[each.variant] = seeds_cell(each.figures[finding], over_seeds, best[finding] == each.variant)
        rows.append(Row(words(finding), cells, key=finding))
    means = {each.variant: seeds_cell(each.mean, comparisons.mean_over_seeds(each.values[""], "auc"))
             for each in measured}  # fmt: skip
    rows.append(Row(f"mean of {counted(len(sizes), 'finding')}", means, key=MEAN))
    rows += [Row(words(finding), {"positives": Cell(text=f"not measured: {why}")}, key=finding)
             for finding, why in not_measured.items()]  # fmt: skip
    columns = (
        Column("positives", "positives", "text", brief=True),
        *(Column(each.variant, variant_label(inputs, each.variant), brief=True) for each in measured),
    )
    bold = comparisons.why_no_bold(inputs, [name], (each.variant for each in measured)) or [BOLD.format(unit=unit)]
    legend = (NOTE, *seeds_note(inputs), *bold)
    return Table(name, caption, columns, (Block("measured", tuple(rows)),), "finding", legend=legend, task=task)

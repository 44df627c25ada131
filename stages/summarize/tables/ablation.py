"""Table 4, the ablation: the figures of every variant in each task, and their difference from the first variant.

The differences are the paired comparisons of Tables 1 to 3, of retrieval and of the pointing game, read from there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ...common.records import Estimate
from ..inputs import Inputs
from ..naming import protocol_name, variant_label
from ..numbers import signed, words
from ..readers.evaluation import FewShot, Grounding, Segmentation, by_variant
from ..results_tree import ResultsTree
from .comparisons import Comparison, Comparisons
from .grounding import COLUMNS, IN_LUNG, by_place, table_name
from .seeds import seeds_cell, seeds_note
from .table import Block, Cell, Column, Row, Table, Task, cell_of

Measured = TypeVar("Measured", FewShot, Segmentation)
RECALL_AT = 5
NOTE = (
    "Of a task with several shares of the labels the largest one. Differences with 95 % intervals by paired bootstrap "
    "over the same test images (in retrieval: queries)."
)
BOLD = (
    "Bold: the difference is not 0 by the test (two-sided, level .05, Holm's correction over all pairs of that column "
    "of its own table)."
)
_FEW_SHOT: dict[Task, tuple[str, str, str]] = {  # first word of the table's name, metric, header
    "few_shot": ("table2", "auc", "few-shot AUC"),
    "segmentation": ("table3", "dice_of_positives", "Dice of positives"),
}
ONE_TRAINING = "Variants of one training: what another seed would give is not in these intervals."


@dataclass(frozen=True)
class Measure:
    """One task of the ablation; `key` names it in files.

    `table` and `column` are the names under which its figures were compared. `figures` are by variant, `differences`
    those of every other variant from the first; `absent` says why a job has none.
    """

    task: Task
    table: str
    column: str
    key: str
    header: str
    figures: Mapping[str, Cell]
    differences: Mapping[str, Comparison]
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ablation:
    """Table 4 of one data set."""

    dataset: str
    first: str  # the variant with which others are compared
    measures: tuple[Measure, ...]


def compared_with(tree: ResultsTree) -> str:
    """Return the variant from which the others differ: the first that has all tasks, if any has."""
    return (*tree.with_text, *tree.variants)[0]


def headlines(inputs: Inputs, comparisons: Comparisons) -> list[Ablation]:
    """Return the key figures of every data set, retrieval with that of the pre-training."""
    first = compared_with(inputs.tree)
    datasets = dict.fromkeys((*inputs.tree.evaluate_on, inputs.tree.pretrain_on))
    found = [Ablation(each, first, tuple(_measures(inputs, each, first, comparisons))) for each in datasets]
    return [each for each in found if each.measures]


def ablation_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Return Table 4 of every data set; none for a single variant, which differs from none."""
    if len(inputs.tree.variants) == 1:
        return []
    return [_table(inputs, comparisons, each) for each in headlines(inputs, comparisons)]


def _table(inputs: Inputs, comparisons: Comparisons, ablation: Ablation) -> Table:
    columns = []
    for each in ablation.measures:
        columns += [Column(each.key, each.header),
                    Column(f"{each.key}_difference", f"from {ablation.first}", below=each.key),
                    Column(f"{each.key}_p", "p (Holm)", shown=False)]  # fmt: skip
    compared = [each.table for each in ablation.measures]
    rows, no_bold = [], comparisons.why_no_bold(inputs, compared, inputs.tree.variants)
    for variant in inputs.tree.variants:
        cells: dict[str, Cell] = {}
        for each in ablation.measures:
            cells |= _cells(each, variant, bold=not no_bold)
        rows.append(Row(variant_label(inputs, variant), cells, key=variant))
    return Table(
        f"table4_{ablation.dataset}",
        f"Table 4. What each variant reaches on {ablation.dataset}, and its difference from {ablation.first}",
        tuple(columns),
        (Block("measured", tuple(rows)),),
        legend=(NOTE, *seeds_note(inputs), *(no_bold or [BOLD]), *one_training(inputs)),
        task="ablation",
    )


def one_training(inputs: Inputs) -> tuple[str, ...]:
    """Return what stands beside variants that were trained here once."""
    trained = [each for each in inputs.tree.variants if inputs.trained(each)]
    return (ONE_TRAINING,) if any(len(inputs.tree.replicates_of(each)) == 1 for each in trained) else ()


def _cells(measure: Measure, variant: str, bold: bool) -> dict[str, Cell]:
    cells = {}
    if (figure := measure.figures.get(variant)) is not None:
        cells[measure.key] = figure
    elif variant in measure.absent:
        cells[measure.key] = Cell(text=measure.absent[variant])
    if (found := measure.differences.get(variant)) is not None:
        cells[f"{measure.key}_difference"] = cell_of(found.difference, bold and found.decided, form=signed)
        cells[f"{measure.key}_p"] = Cell(found.adjusted)
    return cells


def _measures(inputs: Inputs, dataset: str, first: str, comparisons: Comparisons) -> Iterator[Measure]:
    """Yield the measures that this run has, in the order of the tables."""
    zero_shot = by_variant(each for each in inputs.zero_shot if each.dataset == dataset)
    if zero_shot:
        table = f"table1_{dataset}"
        aucs = {variant: [each.result.metrics["auc"] for each in own] for variant, own in zero_shot.items()}
        yield Measure("zero_shot", table, "auc", "zero_shot_auc", "zero-shot AUC",
                      _figures(aucs, table, "auc", comparisons), comparisons.from_one(table, "auc", first))  # fmt: skip
    yield from _few_shot(inputs.few_shot, "few_shot", dataset, comparisons, first)
    yield from _few_shot(inputs.segmentation, "segmentation", dataset, comparisons, first)
    yield from _pointing(inputs, dataset, comparisons, first)
    if dataset == inputs.tree.pretrain_on:
        yield from _retrieval(inputs, comparisons, first)


def _figures(
    replicates: Mapping[str, Sequence[Estimate]], table: str, column: str, comparisons: Comparisons
) -> dict[str, Cell]:
    """Return the figure of each variant from those of its replicates, with the interval of its own table."""
    cells = {variant: seeds_cell(own, comparisons.over_seeds(table, column, variant))
             for variant, own in replicates.items() if own}  # fmt: skip
    single = {variant for variant, own in replicates.items() if len(own) == 1}  # its spread is of other repetitions
    return {variant: replace(cell, spread=None) if variant in single else cell for variant, cell in cells.items()}


def _few_shot(
    jobs: Sequence[Measured], task: Task, dataset: str, comparisons: Comparisons, first: str
) -> Iterator[Measure]:
    """Yield for each protocol the job with most labels."""
    number, metric, header = _FEW_SHOT[task]
    own = [each for each in jobs if each.job.dataset == dataset]
    for protocol in dict.fromkeys(each.job.protocol for each in own):
        fraction = max(each.job.fraction for each in own if each.job.protocol == protocol)
        cells = [each for each in own if (each.job.protocol, each.job.fraction) == (protocol, fraction)]
        named, column = protocol_name(protocol, [each.result for each in cells]), f"{metric}_{fraction}"
        found = {variant: [figure for each in replicates for name, figure in each.result.metrics.items()
                           if name == metric] for variant, replicates in by_variant(cells).items()}  # fmt: skip
        table = f"{number}_{dataset}_{protocol}"
        yield Measure(
            task,
            table,
            column,
            f"{protocol}_{metric}_{fraction}",
            f"{header}, {named}, {fraction} %",
            _figures(found, table, column, comparisons),
            comparisons.from_one(table, column, first),
            {each.variant: each.result.skipped for each in cells if each.result.skipped is not None},
        )


def _pointing(inputs: Inputs, dataset: str, comparisons: Comparisons, first: str) -> Iterator[Measure]:
    """Yield the hits of the first prompts, which favour no place; inside the lungs where these are known."""
    for grounding in by_place([each for each in inputs.grounding if each.dataset == dataset]).values():
        yield _pointing_at(grounding, comparisons, first)


def _pointing_at(grounding: Sequence[Grounding], comparisons: Comparisons, first: str) -> Measure:
    found = grounding[0]
    prompts = next(iter(grounding[0].result.pointing))
    inside = grounding[0].result.pointing[prompts].heatmap_in_lung is not None
    column = IN_LUNG if inside else "pointing"
    pointer = COLUMNS[column][1]
    hits = {variant: [getattr(each.result.pointing[prompts], pointer) for each in own]
            for variant, own in by_variant(grounding).items()}  # fmt: skip
    table = table_name(found.place, prompts)
    figures, variants = _figures(hits, table, column, comparisons), comparisons.from_one(table, column, first)
    several = found.place != found.dataset
    return Measure(
        "pointing",
        table,
        column,
        f"pointing_{found.result.finding}" if several else "pointing",
        f"hits of the heatmap{' on ' + words(found.result.finding) if several else ''}"
        f"{', inside the lungs' if inside else ''}",
        figures,
        {variant: each for variant, each in variants.items() if variant in figures},
    )


def _retrieval(inputs: Inputs, comparisons: Comparisons, first: str) -> Iterator[Measure]:
    found = {variant: [each.result.figures for each in own if each.result.figures is not None]
             for variant, own in by_variant(inputs.retrieval).items()}  # fmt: skip
    measured = [each for own in found.values() for each in own]
    for direction in measured[0].directions if measured else ():
        one = measured[0].directions[direction]
        # of no more candidates than that, all would be found
        k = RECALL_AT if RECALL_AT in one.recall and one.candidates > RECALL_AT else min(one.recall)
        table, column = f"retrieval_{direction}", f"recall_at_{k}"
        recalls = {variant: [each.directions[direction].recall[k] for each in own] for variant, own in found.items()}
        yield Measure(
            "retrieval",
            table,
            column,
            f"{direction}_{column}",
            f"recall@{k}, {words(direction)}",
            _figures(recalls, table, column, comparisons),
            comparisons.from_one(table, column, first),
        )

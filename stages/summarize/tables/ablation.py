"""Table 4, the ablation: the figures of every variant in each task, and their difference from the first variant.

The differences are the paired comparisons of Tables 1 to 3, of retrieval and of the pointing game, read from there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ...common.records import Estimate
from ..inputs import Inputs
from ..naming import protocol_name, variant_label
from ..numbers import signed, words
from ..readers.evaluation import FewShot, Grounding, Segmentation
from ..results_tree import ResultsTree
from .comparisons import Comparison, Comparisons
from .grounding import COLUMNS, IN_LUNG, by_place, table_name
from .table import Block, Cell, Column, Row, Table, cell_of

Measured = TypeVar("Measured", FewShot, Segmentation)
RECALL_AT = 5
NOTE = (
    "Of a task with several shares of the labels the largest one. Differences with 95 % intervals by paired bootstrap "
    "over the same test images (in retrieval: queries); bold where the difference is not 0 by the test (two-sided, "
    "level .05, Holm's correction over all pairs of that column of its own table). One training each: what another "
    "seed would give is not in these intervals."
)


@dataclass(frozen=True)
class Measure:
    """One task of the ablation; `key` names it in files.

    `figures` are by variant, `differences` are those of every other variant from the first; `absent` says why a job has
    none.
    """

    key: str
    header: str
    figures: Mapping[str, Estimate]
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


def ablations(inputs: Inputs, comparisons: Comparisons) -> list[Ablation]:
    """Return one ablation per data set, retrieval with that of the pre-training; none for a single variant."""
    if len(inputs.tree.variants) < 2:
        return []
    first = compared_with(inputs.tree)
    datasets = dict.fromkeys((*inputs.tree.evaluate_on, inputs.tree.pretrain_on))
    found = [Ablation(each, first, tuple(_measures(inputs, each, first, comparisons))) for each in datasets]
    return [each for each in found if each.measures]


def ablation_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Return Table 4 of every data set."""
    return [_table(inputs, each) for each in ablations(inputs, comparisons)]


def _table(inputs: Inputs, ablation: Ablation) -> Table:
    columns = []
    for each in ablation.measures:
        columns += [Column(each.key, each.header),
                    Column(f"{each.key}_difference", f"from {ablation.first}", below=each.key),
                    Column(f"{each.key}_p", "p (Holm)", shown=False)]  # fmt: skip
    rows = []
    for variant in inputs.tree.variants:
        cells: dict[str, Cell] = {}
        for each in ablation.measures:
            cells |= _cells(each, variant)
        rows.append(Row(variant_label(inputs, variant), cells, key=variant))
    return Table(
        f"table4_{ablation.dataset}",
        f"Table 4. What each variant reaches on {ablation.dataset}, and its difference from {ablation.first}",
        tuple(columns),
        (Block("measured", tuple(rows)),),
        legend=(NOTE,),
        task="ablation",
    )


def _cells(measure: Measure, variant: str) -> dict[str, Cell]:
    cells = {}
    if (figure := measure.figures.get(variant)) is not None:
        cells[measure.key] = cell_of(figure)
    elif variant in measure.absent:
        cells[measure.key] = Cell(text=measure.absent[variant])
    if (found := measure.differences.get(variant)) is not None:
        cells[f"{measure.key}_difference"] = cell_of(found.difference, found.decided, form=signed)
        cells[f"{measure.key}_p"] = Cell(found.adjusted)
    return cells


def _measures(inputs: Inputs, dataset: str, first: str, comparisons: Comparisons) -> Iterator[Measure]:
    """Yield the measures that this run has, in the order of the tables."""

    def differences(table: str, column: str) -> dict[str, Comparison]:
        return comparisons.from_one(table, column, first)

    zero_shot = {each.variant: each.result.metrics["auc"] for each in inputs.zero_shot if each.dataset == dataset}
    if zero_shot:
        yield Measure("zero_shot_auc", "zero-shot AUC", zero_shot, differences(f"table1_{dataset}", "auc"))
    yield from _few_shot(inputs.few_shot, dataset, "table2", "auc", "AUC", comparisons, first)
    yield from _few_shot(
        inputs.segmentation, dataset, "table3", "dice_of_positives", "Dice of positives", comparisons, first
    )
    yield from _pointing(inputs, dataset, comparisons, first)
    if dataset == inputs.tree.pretrain_on:
        yield from _retrieval(inputs, comparisons, first)


def _few_shot(
    jobs: Sequence[Measured],
    dataset: str,
    table: str,
    metric: str,
    header: str,
    comparisons: Comparisons,
    first: str,
) -> Iterator[Measure]:
    """Yield for each protocol the job with most labels."""
    own = [each for each in jobs if each.job.dataset == dataset]
    for protocol in dict.fromkeys(each.job.protocol for each in own):
        fraction = max(each.job.fraction for each in own if each.job.protocol == protocol)
        cells = [each for each in own if (each.job.protocol, each.job.fraction) == (protocol, fraction)]
        named = protocol_name(protocol, [each.result for each in cells])
        yield Measure(
            f"{protocol}_{metric}_{fraction}",
            f"{header}, {named}, {fraction} %",
            {each.variant: found for each in cells for name, found in each.result.metrics.items() if name == metric},
            comparisons.from_one(f"{table}_{dataset}_{protocol}", f"{metric}_{fraction}", first),
            {each.variant: each.result.skipped for each in cells if each.result.skipped is not None},
        )


def _pointing(inputs: Inputs, dataset: str, comparisons: Comparisons, first: str) -> Iterator[Measure]:
    """Yield the hits of the first prompts, which name no place; inside the lungs where these are known."""
    for grounding in by_place([each for each in inputs.grounding if each.dataset == dataset]).values():
        yield _pointing_at(grounding, comparisons, first)


def _pointing_at(grounding: Sequence[Grounding], comparisons: Comparisons, first: str) -> Measure:
    found = grounding[0]
    prompts = next(iter(grounding[0].result.pointing))
    inside = grounding[0].result.pointing[prompts].heatmap_in_lung is not None
    column = IN_LUNG if inside else "pointing"
    pointer = COLUMNS[column][1]
    figures = {each.variant: getattr(each.result.pointing[prompts], pointer) for each in grounding}
    variants = comparisons.from_one(table_name(found.place, prompts), column, first)
    several = found.place != found.dataset
    return Measure(
        f"pointing_{found.result.finding}" if several else "pointing",
        f"hits of the heatmap{' on ' + words(found.result.finding) if several else ''}"
        f"{', inside the lungs' if inside else ''}",
        figures,
        {variant: each for variant, each in variants.items() if variant in figures},
    )


def _retrieval(inputs: Inputs, comparisons: Comparisons, first: str) -> Iterator[Measure]:
    found = {each.variant: each.result.figures for each in inputs.retrieval if each.result.figures is not None}
    for direction in next(iter(found.values())).directions if found else ():
        figures = {variant: each.directions[direction].recall for variant, each in found.items()}
        candidates = next(iter(found.values())).directions[direction].candidates
        known = next(iter(figures.values()))
        k = RECALL_AT if RECALL_AT in known and candidates > RECALL_AT else min(known)  # else all are found
        yield Measure(
            f"{direction}_recall_at_{k}",
            f"recall@{k}, {words(direction)}",
            {variant: each[k] for variant, each in figures.items()},
            comparisons.from_one(f"retrieval_{direction}", f"recall_at_{k}", first),
        )

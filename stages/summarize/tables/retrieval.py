"""Retrieval: one table per direction, every figure above that of candidates in random order."""

from collections.abc import Callable, Mapping

from ...common.records import AgainstChance
from ...common.wording import counted
from ...retrieval.contract import Direction, RetrievalByClass
from ..inputs import Inputs
from ..naming import variant_label
from ..numbers import decimal, figures, rank, words
from .classification import bold_note
from .comparisons import Comparisons
from .image_values import ImageValues, class_retrieval_values, retrieval_values
from .table import Block, Cell, Column, Row, Table, cell_of

RANK = "median_rank"
CHANCE = "chance: random order"
NOTE = (
    "A hit is anything of the same study, or of a study whose report has the same text. Recall@k is the share of "
    "queries with a hit among the first k candidates; the rank is that of the first hit, so smaller is better. Chance "
    "is computed, not drawn."
)
CLASS_NOTE = (
    "P@k is the share of the first k candidates that have the finding of the query, mean over the queries of each "
    "finding and then over findings. Candidates are those of all these pairs, the query's own among them."
)
INTERVALS = "Brackets: 95 % bootstrap intervals that resample the patients of the queries; the candidates stay."


def retrieval_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Make one table per direction; none where no pair is in the test part."""
    directions, values = {}, {}
    for each in inputs.retrieval:
        if (found := each.result.figures) is not None:
            directions[each.variant] = found.directions
            values[each.variant] = retrieval_values(inputs.tree, each.variant, found)
    names = list(next(iter(directions.values()), {}))
    return [
        _table(
            inputs,
            name,
            {variant: each[name] for variant, each in directions.items()},
            {variant: each[name] for variant, each in values.items()},
            comparisons,
        )
        for name in names
    ]


def _table(
    inputs: Inputs,
    direction: str,
    variants: Mapping[str, Direction],
    values: Mapping[str, ImageValues],
    comparisons: Comparisons,
) -> Table:
    name, first = f"retrieval_{direction}", next(iter(variants.values()))
    measures = _figures(first)
    best = {key: comparisons.best(name, key, values, key, smaller_is_better=key == RANK) for key in measures}
    return Table(
        name,
        f"Retrieval, {words(direction)}, among the test pairs of {inputs.tree.pretrain_on}: "
        f"{counted(first.queries, 'query', 'queries')}, {counted(first.candidates, 'candidate')}",
        tuple(Column(key, words(key).replace("recall at ", "recall@"), brief=True) for key in measures),
        (_above_chance(inputs, {variant: _figures(each) for variant, each in variants.items()}, best, figures),),
        legend=(NOTE, INTERVALS, bold_note("patient")),
        task="retrieval",
    )


def class_retrieval_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Make one table per direction of precision@k by class; none without labels of the pairs."""
    found = {each.variant: each.result.by_class for each in inputs.retrieval if each.result.by_class is not None}
    values = {variant: class_retrieval_values(inputs.tree, variant, each) for variant, each in found.items()}
    tables = []
    for direction in next(iter(values.values()), {}):
        own = {variant: each[direction] for variant, each in values.items()}
        tables.append(_class_table(inputs, direction, found, own, comparisons))
    return tables


def _class_table(
    inputs: Inputs,
    direction: str,
    variants: Mapping[str, RetrievalByClass],
    values: Mapping[str, ImageValues],
    comparisons: Comparisons,
) -> Table:
    name, first = f"retrieval_classes_{direction}", next(iter(variants.values()))
    keys = {f"precision_at_{k}": k for k in first.directions[direction].mean}
    best = {key: comparisons.best(name, key, values, key) for key in keys}
    means = {
        variant: {key: found.directions[direction].mean[k] for key, k in keys.items()}
        for variant, found in variants.items()
    }
    sizes = ", ".join(f"{words(each)} {size.images}" for each, size in first.classes.items())
    return Table(
        name,
        f"Retrieval by class, {words(direction)}, among the test pairs of {inputs.tree.pretrain_on} with exactly one "
        f"of {counted(len(first.classes), 'finding')}; images: {sizes}",
        tuple(Column(key, f"P@{k}", brief=True) for key, k in keys.items()),
        (_above_chance(inputs, means, best),),
        legend=(CLASS_NOTE, INTERVALS, bold_note("patient")),
        task="retrieval_classes",
    )


def _figures(direction: Direction) -> dict[str, AgainstChance]:
    return {f"recall_at_{k}": each for k, each in direction.recall.items()} | {RANK: direction.median_rank}


def _above_chance(
    inputs: Inputs,
    variants: Mapping[str, Mapping[str, AgainstChance]],
    best: Mapping[str, str | None],
    form: Callable[[float], str] = decimal,
) -> Block:
    """Make a row per variant, and below them the chance levels, which all variants share, in `form`."""
    rows = []
    for variant, found in variants.items():
        cells = {
            key: cell_of(each, best[key] == variant, form=rank if key == RANK else decimal)
            for key, each in found.items()
        }
        rows.append(Row(variant_label(inputs, variant), cells, key=variant))
    first = next(iter(variants.values()))
    chance = {key: Cell(each.chance, form=rank if key == RANK else form) for key, each in first.items()}
    return Block("measured", (*rows, Row(CHANCE, chance)))

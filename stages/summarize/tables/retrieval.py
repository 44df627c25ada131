"""Retrieval: one table per direction, every figure above that of candidates in random order."""

from collections.abc import Callable, Mapping, Sequence

from ...common.records import AgainstChance
from ...common.wording import counted
from ...retrieval.contract import Direction, RetrievalByClass
from ..inputs import Inputs
from ..naming import variant_label
from ..numbers import decimal, figures, rank, words
from ..readers.evaluation import by_variant
from .classification import bold_notes, intervals_note
from .comparisons import Comparisons
from .image_values import Repeated, class_retrieval_values, repeated, retrieval_values
from .seeds import seeds_cell
from .table import Block, Cell, Column, Row, Table

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
CANDIDATES = "A draw takes patients of the queries; the candidates stay."


def retrieval_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Make one table per direction; none where no pair is in the test part."""
    found = {variant: [(each, figures) for each in own if (figures := each.result.figures) is not None]
             for variant, own in by_variant(inputs.retrieval).items()}  # fmt: skip
    measured = {variant: own for variant, own in found.items() if own}
    values = {variant: [retrieval_values(inputs.tree, *each) for each in own] for variant, own in measured.items()}
    names = list(next(iter(measured.values()))[0][1].directions) if measured else []
    return [
        _table(
            inputs,
            name,
            {variant: [figures.directions[name] for _, figures in own] for variant, own in measured.items()},
            {variant: repeated(inputs, variant, [each[name] for each in own]) for variant, own in values.items()},
            comparisons,
        )
        for name in names
    ]


def _table(
    inputs: Inputs,
    direction: str,
    variants: Mapping[str, Sequence[Direction]],
    values: Mapping[str, Repeated],
    comparisons: Comparisons,
) -> Table:
    name, first = f"retrieval_{direction}", next(iter(variants.values()))[0]
    measures = _figures(first)
    best = {key: comparisons.best(name, key, values, key, smaller_is_better=key == RANK) for key in measures}
    return Table(
        name,
        f"Retrieval, {words(direction)}, among the test pairs of {inputs.tree.pretrain_on}: "
        f"{counted(first.queries, 'query', 'queries')}, {counted(first.candidates, 'candidate')}",
        tuple(Column(key, words(key).replace("recall at ", "recall@"), brief=True) for key in measures),
        (_above_chance(inputs, name, {variant: list(map(_figures, own)) for variant, own in variants.items()}, best,
                       comparisons, figures),),
        legend=(NOTE, intervals_note("patient"), CANDIDATES, *bold_notes(inputs, comparisons, name, values, "patient")),
        task="retrieval",
    )  # fmt: skip


def class_retrieval_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Make one table per direction of precision@k by class; none without labels of the pairs."""
    found = {variant: [(each, classes) for each in own if (classes := each.result.by_class) is not None]
             for variant, own in by_variant(inputs.retrieval).items()}  # fmt: skip
    measured = {variant: own for variant, own in found.items() if own}
    values = {variant: [class_retrieval_values(inputs.tree, *each) for each in own]
              for variant, own in measured.items()}  # fmt: skip
    results = {variant: [classes for _, classes in own] for variant, own in measured.items()}
    tables = []
    for direction in next(iter(values.values()))[0] if values else ():
        rows = {variant: repeated(inputs, variant, [each[direction] for each in own])
                for variant, own in values.items()}  # fmt: skip
        tables.append(_class_table(inputs, direction, results, rows, comparisons))
    return tables


def _class_table(
    inputs: Inputs,
    direction: str,
    variants: Mapping[str, Sequence[RetrievalByClass]],
    values: Mapping[str, Repeated],
    comparisons: Comparisons,
) -> Table:
    name, first = f"retrieval_classes_{direction}", next(iter(variants.values()))[0]
    keys = {f"precision_at_{k}": k for k in first.directions[direction].mean}
    best = {key: comparisons.best(name, key, values, key) for key in keys}
    means = {
        variant: [{key: found.directions[direction].mean[k] for key, k in keys.items()} for found in own]
        for variant, own in variants.items()
    }
    sizes = ", ".join(f"{words(each)} {size.images}" for each, size in first.classes.items())
    return Table(
        name,
        f"Retrieval by class, {words(direction)}, among the test pairs of {inputs.tree.pretrain_on} with exactly one "
        f"of {counted(len(first.classes), 'finding')}; images: {sizes}",
        tuple(Column(key, f"P@{k}", brief=True) for key, k in keys.items()),
        (_above_chance(inputs, name, means, best, comparisons),),
        legend=(
            CLASS_NOTE,
            intervals_note("patient"),
            CANDIDATES,
            *bold_notes(inputs, comparisons, name, values, "patient"),
        ),
        task="retrieval_classes",
    )


def _figures(direction: Direction) -> dict[str, AgainstChance]:
    return {f"recall_at_{k}": each for k, each in direction.recall.items()} | {RANK: direction.median_rank}


def _above_chance(
    inputs: Inputs,
    table: str,
    variants: Mapping[str, Sequence[Mapping[str, AgainstChance]]],
    best: Mapping[str, str | None],
    comparisons: Comparisons,
    form: Callable[[float], str] = decimal,
) -> Block:
    """Make a row per variant, and below them the chance levels, which all variants share, in `form`."""
    rows = []
    for variant, own in variants.items():
        cells = {
            key: seeds_cell([each[key] for each in own], comparisons.over_seeds(table, key, variant),
                            best[key] == variant, form=rank if key == RANK else decimal)
            for key in own[0]
        }  # fmt: skip
        rows.append(Row(variant_label(inputs, variant), cells, key=variant))
    first = next(iter(variants.values()))[0]
    chance = {key: Cell(each.chance, form=rank if key == RANK else form) for key, each in first.items()}
    return Block("measured", (*rows, Row(CHANCE, chance)))

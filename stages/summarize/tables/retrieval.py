"""Retrieval: one table per direction, every figure above that of candidates in random order."""

from collections.abc import Iterable, Mapping

from ...retrieval.contract import AgainstChance, Direction
from ..inputs import Inputs
from ..naming import variant_label
from ..numbers import figures, interval, rank, words
from .classification import BOLD
from .comparisons import Comparisons
from .image_values import ImageValues, retrieval_values
from .table import Block, Cell, Column, CsvRow, Row, Table, estimate_columns
from .writers import aligned

RANK = "median_rank"
CHANCE = "chance: random order"
NOTE = (
    "A hit is anything of the same study, or of a study whose report has the same text. Recall@k is the share of "
    "queries with a hit among the first k candidates; the rank is that of the first hit, so smaller is better. Chance "
    "is computed, not drawn."
)
INTERVALS = "Brackets: 95 % bootstrap intervals that resample the patients of the queries; the candidates stay."


def retrieval_tables(inputs: Inputs, comparisons: Comparisons) -> list[Table]:
    """Return one table per direction; none where no pair is in the test part."""
    measured = {each.variant: each for each in inputs.retrieval if each.result.figures is not None}
    values = {variant: retrieval_values(inputs.tree, each) for variant, each in measured.items()}
    directions = {variant: each.result.figures.directions for variant, each in measured.items()}
    names = next(iter(directions.values()), {})
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
    rows = [
        Row(
            variant_label(inputs, variant),
            {key: Cell(each.value, each.low, each.high, bold=best[key] == variant, places=_places(key))
             for key, each in _figures(found).items()},
        )
        for variant, found in variants.items()
    ]  # fmt: skip
    rows.append(Row(CHANCE, {key: Cell(each.chance, places=_places(key)) for key, each in measures.items()}))
    return Table(
        name,
        f"Retrieval, {words(direction)}, among the test pairs of {inputs.tree.pretrain_on}: {first.queries} queries, "
        f"{first.candidates} candidates",
        tuple(Column(key, words(key).replace("recall at ", "recall@")) for key in measures),
        (Block("measured", tuple(rows)),),
        notes=(NOTE, INTERVALS, BOLD.format(unit="patient")),
    )


def _figures(direction: Direction) -> dict[str, AgainstChance]:
    return {f"recall_at_{k}": each for k, each in direction.recall.items()} | {RANK: direction.median_rank}


def _places(measure: str) -> int:
    return 1 if measure == RANK else 3


def retrieval_rows(inputs: Inputs) -> list[CsvRow]:
    """Return one row per variant and direction; where retrieval was skipped, one per variant with the reason."""
    rows: list[CsvRow] = []
    for each in inputs.retrieval:
        found = each.result.figures
        if found is None:
            rows.append({"variant": each.variant, "split": each.result.split, "skipped": each.result.skipped})
            continue
        for name, direction in found.directions.items():
            row: CsvRow = {"variant": each.variant, "split": each.result.split, "direction": name}
            measured = {f"recall_at_{k}": recall for k, recall in direction.recall.items()}
            for key, figure in (measured | {"median_rank": direction.median_rank}).items():
                row |= estimate_columns(key, figure) | {f"{key}_chance": figure.chance}
            row |= {"queries": direction.queries, "candidates": direction.candidates}
            rows.append(row | found.model_dump(exclude=set(found.directions)))
    return rows


def _ranks(figure: AgainstChance) -> str:
    return f"{rank(figure.value)} [{rank(figure.low)}, {rank(figure.high)}] ({rank(figure.chance)})"


def retrieval_lines(inputs: Inputs) -> Iterable[str]:
    """Yield the figures as lines of text."""
    yield from ("", "Retrieval among the test pairs of pre-training [95 % interval] (chance)")
    rows = []
    for each in inputs.retrieval:
        found = each.result.figures
        if found is None:
            yield f"  {variant_label(inputs, each.variant)}: not measured, {each.result.skipped}"
            continue
        header = ("variant", "direction", *(f"recall@{k}" for k in found.image_to_report.recall), "median rank")
        rows = rows or [header]
        for name, direction in found.directions.items():
            recalls = (f"{interval(figure)} ({figures(figure.chance)})" for figure in direction.recall.values())
            rows.append((variant_label(inputs, each.variant), words(name), *recalls, _ranks(direction.median_rank)))
    if rows:
        yield from aligned(rows)

"""A study: the figures of Table 4 in the order of the one number in which the variants differ."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..inputs import Inputs
from ..naming import variant_label
from ..provenance import Provenance
from .ablation import Ablation, headlines, one_training
from .comparisons import Comparisons
from .seeds import seeds_note
from .table import Block, Cell, Column, Row, Table

VALUE = "value"  # key of the column with the number


@dataclass(frozen=True)
class Study:
    """The key of `pretrain` that is studied, and its value in each variant, as the journals write it."""

    axis: str
    values: Mapping[str, str]


def study_of(inputs: Inputs, provenance: Provenance, axis: str | None) -> Study | None:
    """Return the study of an axis; an untrained variant has no value on it. None without an axis."""
    if axis is None:
        return None
    runs = {each: provenance.run("pretrain", inputs.tree.replicates_of(each)[0].name) for each in inputs.tree.variants}
    values = {each: run.pretrained_with(axis) if inputs.trained(each) else "untrained" for each, run in runs.items()}
    return Study(axis, values)


def number(value: str) -> float | None:
    """Return a value as a place on the axis; None where it is a word, e.g. balanced."""
    try:
        return float(value)
    except ValueError:
        return None


def study_tables(inputs: Inputs, comparisons: Comparisons, study: Study) -> list[Table]:
    """Return a table per data set: a row per variant, those without a number last."""
    return [_table(inputs, each, study) for each in headlines(inputs, comparisons)]


def _table(inputs: Inputs, ablation: Ablation, study: Study) -> Table:
    places = {variant: number(value) for variant, value in study.values.items()}
    order = sorted(places, key=lambda variant: (places[variant] is None, places[variant] or 0.0))
    rows = []
    for variant in order:
        place = places[variant]
        cells = {VALUE: Cell(text=study.values[variant] if place is None else f"{place:g}")}
        for each in ablation.measures:
            absent = Cell(text=each.absent[variant]) if variant in each.absent else Cell()
            cells[each.key] = each.figures.get(variant, absent)
        rows.append(Row(variant_label(inputs, variant), cells, key=variant))
    return Table(
        f"study_{ablation.dataset}",
        f"Study. Figures on {ablation.dataset} by {study.axis}",
        (
            Column(VALUE, study.axis, kind="text", brief=True),
            *(Column(each.key, each.header, brief=True) for each in ablation.measures),
        ),
        (Block("measured", tuple(rows)),),
        legend=("The figures are those of Table 4, which has the tests.", *seeds_note(inputs), *one_training(inputs)),
        task="study",
    )

"""Figures that others published: read from quoted.yaml, turned into blocks of rows that say where they come from."""

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter

from ...common.settings import Settings, validating
from ...common.yaml_files import read_yaml
from ..numbers import decimal
from ..results_tree import ResultsTree
from .table import Block, Cell, Row

Stage = Literal["few_shot_classification", "few_shot_segmentation"]


class Quotation(Settings):
    """Some rows of one published table, by fraction of the labels in percent."""

    table: Stage
    data_set: str
    protocol: str
    metric: str
    source: str = Field(min_length=1)
    cite: str | None = Field(None, description="key of references.py; null: the methods do not cite it")
    setting: str = Field(min_length=1, description="how the authors measured, as far as it differs from ours")
    scale: float = Field(gt=0, description="what the printed figures are divided by")
    places: int = Field(ge=0, description="decimals of the figure after that")
    rows: dict[str, dict[int, float]] = Field(min_length=1)


def read_quotations(path: Path) -> list[Quotation]:
    """Read the file of quoted figures; an InputError names every wrong key in one line."""
    value = read_yaml(path, "name the file of quoted figures")
    with validating(str(path)):
        return TypeAdapter(list[Quotation]).validate_python(value)


def shown(quotations: list[Quotation], tree: ResultsTree, synthetic: Collection[str]) -> list[Quotation]:
    """Return the quotations that stand in the tables of this run: none beside synthetic patients."""
    jobs = {"few_shot_classification": tree.few_shot_jobs, "few_shot_segmentation": tree.segmentation_jobs}
    return [
        each
        for each in quotations
        if each.data_set not in synthetic
        and any(
            (job.dataset, job.protocol) == (each.data_set, each.protocol)
            and any(job.fraction in figures for figures in each.rows.values())
            for job in jobs[each.table]
        )
    ]


def quoted_blocks(quotations: Sequence[Quotation], table: Stage, data_set: str, protocol: str) -> tuple[Block, ...]:
    """Return the blocks for the table of one data set and protocol; cells are keyed `<metric>_<fraction>`."""
    return tuple(
        Block("quoted", tuple(_row(each, label, figures) for label, figures in each.rows.items()), each.source,
              each.setting)
        for each in quotations
        if (each.table, each.data_set, each.protocol) == (table, data_set, protocol)
    )  # fmt: skip


def _row(quotation: Quotation, label: str, figures: dict[int, float]) -> Row:
    form = partial(decimal, places=quotation.places)
    cells = {
        f"{quotation.metric}_{fraction}": Cell(round(value / quotation.scale, 10), form=form)
        for fraction, value in figures.items()
    }
    return Row(label, cells)

"""Figures that others published: read from quoted.yaml, turned into blocks of rows that say where they come from."""

from collections.abc import Collection
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from ...common.errors import InputError, InputErrors
from ...common.settings import Settings, validation_errors
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
    """Every wrong key in one line."""
    try:
        return TypeAdapter(list[Quotation]).validate_python(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror})", remedy="name the file of quoted figures"
        ) from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise InputErrors(validation_errors(error, str(path)), "; ") from None


def shown(quotations: list[Quotation], tree: ResultsTree, synthetic: Collection[str]) -> list[Quotation]:
    """Those that stand in the tables of this run: none of synthetic patients."""
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


def quoted_blocks(quotations: list[Quotation], table: Stage, data_set: str, protocol: str) -> tuple[Block, ...]:
    """Blocks for the table of one data set and protocol; cells are keyed `<metric>_<fraction>`."""
    return tuple(
        Block("quoted", tuple(_row(each, label, figures) for label, figures in each.rows.items()), each.source,
              each.setting)
        for each in quotations
        if (each.table, each.data_set, each.protocol) == (table, data_set, protocol)
    )  # fmt: skip


def _row(quotation: Quotation, label: str, figures: dict[int, float]) -> Row:
    cells = {
        f"{quotation.metric}_{fraction}": Cell(round(value / quotation.scale, 10), places=quotation.places)
        for fraction, value in figures.items()
    }
    return Row(label, cells)

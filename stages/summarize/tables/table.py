"""The model of a table, independent of its format: columns, blocks of rows, cells with intervals."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...common.records import Estimate

CsvRow = dict[str, Any]  # column -> figure with all its digits


@dataclass(frozen=True)
class Cell:
    """A figure with its 95 % interval and its spread over repetitions, or a text; an empty one is an en dash."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    bold: bool = False  # the best of its column, and better than every other variant by the paired test
    places: int = 3
    text: str | None = None


NOTHING = Cell()


@dataclass(frozen=True)
class Column:
    """A column: `key` names it in files for machines, `header` in those for people."""

    key: str
    header: str
    kind: Literal["figure", "text"] = "figure"
    shown: bool = True  # False: only in the CSV


@dataclass(frozen=True)
class Row:
    """A row: `cells` by the key of the column; a missing column is empty in this row."""

    label: str
    cells: Mapping[str, Cell]
    notes: tuple[str, ...] = ()  # must stand beside every figure of the row, e.g. an overlap that was allowed

    def __getitem__(self, column: Column) -> Cell:
        return self.cells.get(column.key, NOTHING)


@dataclass(frozen=True)
class Block:
    """Rows that were measured here, or rows that are quoted from one source under one protocol.

    `protocol` of measured rows says how they depart from the one that the table names; empty where they do not.
    """

    kind: Literal["measured", "quoted"]
    rows: tuple[Row, ...]
    source: str = ""
    protocol: str = ""

    @property
    def title(self) -> str:
        """Return the block's title."""
        if self.kind == "quoted":
            return f"quoted, not measured: {self.source}; {self.protocol}"
        return f"measured here; {self.protocol}" if self.protocol else "measured here"


@dataclass(frozen=True)
class Table:
    """A table: `name` is the stem of its files. Where nothing is quoted it has one block, without a title."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    first: str = "variant"  # header of the rows' labels
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        known = {column.key for column in self.columns}
        unknown = {key for _, row in self.rows() for key in row.cells} - known
        if unknown:
            raise ValueError(f"{self.name}: cells of no column: {sorted(unknown)}")

    def rows(self) -> Iterator[tuple[Block, Row]]:
        """Yield every row with its block."""
        for block in self.blocks:
            for row in block.rows:
                yield block, row

    @property
    def shown(self) -> list[Column]:
        """Return the columns that people see."""
        return [column for column in self.columns if column.shown]

    @property
    def titled(self) -> bool:
        """Return whether people must be told which rows are measured."""
        return any(block.kind == "quoted" for block in self.blocks)


def estimate_columns(name: str, estimate: Estimate | None) -> CsvRow:
    """Return the three CSV columns of a figure: value, low, high; empty where there is none."""
    return {
        name: estimate and estimate.value,
        f"{name}_low": estimate and estimate.low,
        f"{name}_high": estimate and estimate.high,
    }

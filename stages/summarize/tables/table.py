"""One model of a table, whatever draws it: columns, blocks of rows, cells with intervals.

Files, page and console draw the same tables. They differ in which columns they show, and `Column` says which.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ...common.records import Estimate
from ..numbers import decimal

Task = Literal[
    "coverage",
    "study",
    "zero_shot",
    "zero_shot_findings",
    "calibration",
    "operating_points",
    "subgroups",
    "multi_class",
    "multi_class_classes",
    "few_shot",
    "segmentation",
    "ablation",
    "retrieval",
    "retrieval_classes",
    "pointing",
    "integrity_map",
]


@dataclass(frozen=True)
class Cell:
    """A figure with its 95 % interval and its spread over repetitions, or a text; an empty one is an en dash."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    bold: bool = False  # the best of its column, and better than every other variant by the paired test
    form: Callable[[float], str] = decimal
    text: str | None = None  # in a column of figures: why there is none
    remark: str = ""  # a word after the figure, e.g. that validation chose it
    notes: tuple[str, ...] = ()  # must stand beside the figure, e.g. an overlap that was allowed


NOTHING = Cell()
MEAN = "mean of findings"  # key of such a row; no name of a finding, which has no blanks


def cell_of(
    figure: Estimate, bold: bool = False, spread: float | None = None, form: Callable[[float], str] = decimal
) -> Cell:
    """Return a figure with its interval."""
    return Cell(figure.value, figure.low, figure.high, spread, bold, form)


@dataclass(frozen=True)
class Axis:
    """The range of the bars beside a column, and a value that is marked on it."""

    low: float
    high: float
    reference: float | None = None

    def place(self, value: float) -> float:
        """Return 0 at the left end, 100 at the right end, where what lies outside is drawn, too."""
        return round(min(max(100 * (value - self.low) / (self.high - self.low), 0.0), 100.0), 2)


def axis_of(estimates: Iterable[Estimate | None], reference: float | None = None) -> Axis:
    """Return a range from a round tenth below every interval to one above, the reference inside."""
    known = [each for each in estimates if each is not None]
    lows, highs = [each.low for each in known], [each.high for each in known]
    if reference is not None:
        lows, highs = [*lows, reference], [*highs, reference]
    low, high = int(min(lows) * 10) / 10, min(1.0, -int(-max(highs) * 10 - 0.999) / 10)
    return Axis(low, high if high > low else low + 0.1, reference)


@dataclass(frozen=True)
class Column:
    """`key` names the column in files for machines, `header` in what people read."""

    key: str
    header: str
    kind: Literal["figure", "text"] = "figure"
    shown: bool = True  # False: in the CSV alone
    brief: bool = False  # also in the console's short text
    below: str = ""  # key of the column in whose cells a page, which is narrow, draws the figures of this one
    axis: Axis | None = None  # a page draws a bar beside the figure


@dataclass(frozen=True)
class Row:
    """`cells` by the key of the column; a column that lacks has nothing in this row."""

    label: str
    cells: Mapping[str, Cell]
    notes: tuple[str, ...] = ()  # must stand beside every figure of the row
    key: str = ""  # the variant, where the row is of one

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
    """`name` is the stem of its files. Where nothing is quoted there is one block, without a title.

    `notes` belong to this table; `legend` explains all tables of the task, and a page shows it once.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    first: str = "variant"  # header of the rows' labels
    notes: tuple[str, ...] = ()
    legend: tuple[str, ...] = ()
    task: Task | None = None

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
    def row_count(self) -> int:
        """Return the number of rows of all blocks."""
        return sum(len(block.rows) for block in self.blocks)

    @property
    def shown(self) -> list[Column]:
        """Return the columns that people see."""
        return [column for column in self.columns if column.shown]

    @property
    def titled(self) -> bool:
        """Return whether people must be told which rows are measured."""
        return any(block.kind == "quoted" for block in self.blocks)

    def first_rows(self, most: int) -> "Table":
        """Return the table with as many rows as a page shows; a mean of findings always stays."""
        rows = [row for _, row in self.rows()]
        kept = {id(row) for place, row in enumerate(rows) if place < most or row.key == MEAN}
        blocks = (replace(each, rows=tuple(row for row in each.rows if id(row) in kept)) for each in self.blocks)
        return replace(self, blocks=tuple(each for each in blocks if each.rows))

    def showing(self, keys: Sequence[str], caption: str, legend: tuple[str, ...]) -> "Table":
        """Return the same measured rows with other columns shown, in the order of `keys`."""
        columns = {column.key: column for column in self.columns}
        order = [*keys, *(key for key in columns if key not in keys)]
        shown = tuple(replace(columns[key], shown=key in keys, axis=None) for key in order)
        blocks = tuple(block for block in self.blocks if block.kind == "measured")
        return replace(self, caption=caption, columns=shown, blocks=blocks, notes=(), legend=legend)


def legend_of(tables: Sequence[Table]) -> list[str]:
    """Return what explains these tables, each sentence once."""
    return list(dict.fromkeys(line for table in tables for line in table.legend))

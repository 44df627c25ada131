"""Rows of a CSV that an unclosed quote has swallowed: they are lines of one cell, and would vanish in silence.

The parser finds no fault where the next quote ends a cell of the same column, rows later. A report of several lines is
a cell with line ends, too, and may hold any number of separators; a row is told from its lines by two signs together:
as many separators as a row has, and in front of the first one what looks like the first cell of other rows.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ..errors import InputError

_DIGIT, _WORD = re.compile(r"\d"), re.compile(r"[^\W\d_]+")
_SHORTEST = 4  # characters of a first cell that a report's line ("1,5 cm") does not begin with by chance


def refuse_swallowed_rows(
    path: Path, table: pl.DataFrame, header: Sequence[str], first_cells: pl.Series, separator: str
) -> None:
    """Raise InputError where half of the further lines of a cell, or more, look like rows.

    `table` has columns of the `header` and, as its first one, the numbers of rows; `first_cells` are those of its rows.
    The first column of the file is not looked at: nothing stands in front of it that would tell a row.
    """
    shapes: set[str] = set()
    numbers, *columns = table
    for column in columns:
        place = header.index(column.name)
        if place == 0:
            continue
        for index in (
            column.str.contains("\n", literal=True) & column.str.contains(separator, literal=True)
        ).arg_true():
            shapes = shapes or {_shape(each) for each in first_cells.unique().to_list()}
            swallowed = _rows_within(column[index], place, len(header), separator, shapes)
            if swallowed:
                what = f"row {numbers[index]}: a quote is not closed before {swallowed} further row(s)"
                remedy = "close the quote, or write quotes within a cell twice"
                raise InputError(f"{path}: not readable as CSV ({what})", remedy)


def _rows_within(cell: str, place: int, width: int, separator: str, shapes: set[str]) -> int:
    """Return how many lines of a cell are rows, or 0 where fewer than half are.

    The last line ends at the quote, in the same column: otherwise the row would have too many or too few cells. It
    alone says little, since a line of a report may have as many separators and begin with a date or a number; then its
    first cell needs letters and digits, as the name of a file has.
    """
    _, *lines = cell.split("\n")
    counts = [width - 1] * (len(lines) - 1) + [place]
    alike = [
        line.count(separator) == count and _is_first_cell(line.split(separator)[0], shapes)
        for line, count in zip(lines, counts, strict=True)
        if line.strip()
    ]
    if not any(alike[:-1]) and not _WORD.search(lines[-1].split(separator)[0]):
        return 0
    return sum(alike) if 2 * sum(alike) >= len(alike) else 0


def _is_first_cell(text: str, shapes: set[str]) -> bool:
    """Return whether a text looks like the first cell of other rows: with a digit, since a report's lines are words."""
    cell = text.strip()
    return len(cell) >= _SHORTEST and " " not in cell and bool(_DIGIT.search(cell)) and _shape(text) in shapes


def _shape(text: str) -> str:
    """Return `text` with words and digits as signs: that of "a12.png" is that of "xy34.jpeg"."""
    return _DIGIT.sub("0", _WORD.sub("a", text.strip()))

"""Figures of a study over the number in which its variants differ."""

import math
from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib as mpl
from matplotlib.ticker import NullLocator

from ..drawing import COLOURS, STYLE, Style, axes_of, data_uri, svg
from ..numbers import decimal
from ..tables.study import VALUE, number
from ..tables.table import Cell, Column, Row, Table
from .report import Names, Report

_DECADE = 10.0  # values that span more are on a logarithmic axis


def study_names(report: Report) -> Names | None:
    """Return the names for the study, or None for a run that is none."""
    tables = report.tables_of("study")
    if not tables:
        return None
    drawn = [(table, column) for table in tables for column in table.shown if column.key != VALUE]
    figures = [_figure(report, table, column) for table, column in drawn]
    return {"axis": report.settings.study_axis, "tables": tables, "figures": [each for each in figures if each]}


def _figure(report: Report, table: Table, column: Column) -> Names | None:
    rows = [row for _, row in table.rows() if row[column].value is not None]
    points = [(place, row[column]) for row in rows if (place := _place(row)) is not None]
    levels = {row.key: row[column] for row in rows if _place(row) is None}
    if not points:
        return None
    axis, dataset = str(report.settings.study_axis), table.name.removeprefix("study_")
    said = ", ".join(f"{place:g} {_said(cell)}" for place, cell in points)
    return {
        "dataset": dataset,
        "title": column.header,
        "levels": [(variant, f"{variant} {decimal(cell.value)}") for variant, cell in levels.items()],
        "src": data_uri(study_figure(points, levels, report.styles, axis, column.header)),
        "alt": f"{column.header} on {dataset} over {axis}: {said}.",
    }


def _place(row: Row) -> float | None:
    return number(row.cells[VALUE].text or "")


def _said(cell: Cell) -> str:
    interval = "" if cell.low is None else f" [{decimal(cell.low)}, {decimal(cell.high)}]"
    return f"{decimal(cell.value)}{interval}"


def study_figure(
    points: Sequence[tuple[float, Cell]],
    levels: Mapping[str, Cell],
    styles: Mapping[str, Style],
    axis: str,
    title: str,
) -> str:
    """Draw figures over the axis with a band of their intervals; a variant without a number on it is a level line."""
    places = [place for place, _ in points]
    smallest = min((place for place in places if place > 0), default=0.0)
    is_wide = min(places) >= 0 and max(places) > _DECADE * smallest > 0
    drawn_at = [place or smallest / 3 for place in places] if is_wide else places  # a logarithm has no place for 0
    cells = [cell for _, cell in points]
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(3.2, 2.4)
        if is_wide:
            axes.set_xscale("log")
        axes.fill_between(drawn_at, _numbers(cells, "low"), _numbers(cells, "high"), color=COLOURS[0], alpha=0.18,
                          linewidth=0)  # fmt: skip
        axes.plot(drawn_at, _numbers(cells, "value"), color=COLOURS[0], linewidth=1.6, marker="o", markersize=4.5)
        for variant, cell in levels.items():
            axes.axhline(_numbers([cell], "value")[0], linewidth=1.2, **styles[variant].line())
        axes.set(xlabel=axis, ylabel=fill(title, 24))  # a long one would leave the figure
        axes.set_xticks(drawn_at, labels=[f"{place:g}" for place in places])
        axes.xaxis.set_minor_locator(NullLocator())
        return svg(figure)


def _numbers(cells: Sequence[Cell], name: str) -> list[float]:
    """Return one of the numbers of each cell, NaN where it lacks: what matplotlib leaves out."""
    values = [getattr(cell, name) for cell in cells]
    return [math.nan if value is None else value for value in values]

"""Columns of a user's own table that say the sex and the age of an image's patient."""

from pathlib import Path

import polars as pl

from ..common.data.index_tables import NO_VALUE
from ..common.data.table_files import ROW
from ..common.errors import InputError
from ..common.radiographs.attributes import parse_age
from .contract import IndexInputsSettings

_UNSTATED = frozenset([*NO_VALUE, "u", "unknown", "not stated"])
_OTHER = frozenset(["o", "other", "x", "diverse"])


def sexes_of(rows: pl.DataFrame, settings: IndexInputsSettings, source: Path) -> pl.Expr | pl.Series:
    """Return female, male, other or null of each row. Raises InputError for a cell without meaning."""
    column = settings.columns.sex if settings.columns else None
    if column is None:
        return pl.lit(None, pl.String)
    meanings: dict[str, str | None] = {**dict.fromkeys(_UNSTATED, None), **dict.fromkeys(_OTHER, "other")}
    for sex, cells in (("male", settings.male_values), ("female", settings.female_values)):
        meanings |= {cell.strip().lower(): sex for cell in cells}
    found: list[str | None] = []
    for row, cell in zip(rows[ROW], rows[column], strict=True):
        key = (cell or "").strip().lower()
        if key and key not in meanings:
            raise _no_meaning(
                source, row, column, cell, settings, "correct it, or add it to male_values or female_values"
            )
        found.append(meanings.get(key))
    return pl.Series(found, dtype=pl.String)


def ages_of(rows: pl.DataFrame, settings: IndexInputsSettings, source: Path) -> tuple[pl.Expr | pl.Series, list[str]]:
    """Return the age of each row in years or null, and a warning where some are implausible.

    Raises InputError for a cell that is no age.
    """
    column = settings.columns.age if settings.columns else None
    if column is None:
        return pl.lit(None, pl.Float64), []
    found: list[float | None] = []
    implausible: list[int] = []
    for row, cell in zip(rows[ROW], rows[column], strict=True):
        age = None
        if cell is not None and cell.strip().lower() not in _UNSTATED:
            try:
                age = parse_age(cell)
            except ValueError:
                raise _no_meaning(source, row, column, cell, settings, "write years, e.g. 62, or clear it") from None
            if age is None:
                implausible.append(row)
        found.append(age)
    lines = []
    if implausible:
        what = f"{len(implausible)} ages are above 120 years, first row {implausible[0]}"
        lines = [f"{source}: {column}: {what}; they count as not stated"]
    return pl.Series(found, dtype=pl.Float64), lines


def _no_meaning(
    source: Path, row: int, column: str, cell: str | None, settings: IndexInputsSettings, remedy: str
) -> InputError:
    said = f"is {cell!r}" if settings.show else "has no known meaning"
    return InputError(f"{source}: row {row}: {column} {said}", remedy)

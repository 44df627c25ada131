"""Table files as text: CSV, JSON lines or Parquet, by suffix, .gz or not; or an archive of Open-i's reports.

A file is opened by its exact path and handed on as bytes, because table libraries take a path for a pattern or an
address. Cells are text, as written. Rows are never padded or cut; no message quotes a cell, which may be a patient's.
"""

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import InputError
from ..files.archives import read_bytes
from .openi_reports import is_openi, read_openi
from .own_tables import TableFormat
from .swallowed_rows import refuse_swallowed_rows

# The number of a row in its file, header counted. Names of columns lose outer blanks, so no column has this name.
ROW = " row"

_COMPRESSED = b"\x1f\x8b"
_WORKBOOK = b"PK\x03\x04"
_SURROGATE = re.compile("[\ud800-\udfff]")  # half of a character, which no table can store
_EXACT = 2**53  # below it a float holds every whole number
_LONGEST_CELL = 2**31 - 1  # characters; split_reports rejects a report that is too long, and the others are read
_UNREAD = (".json", ".xlsx", ".xls", ".ods", ".feather", ".arrow", ".zip")


def read_table_file(path: Path, form: TableFormat, empty: str, wanted: Collection[str] = ()) -> pl.DataFrame:
    """Return the columns as text, and `ROW`; blank cells are null, outer blanks are removed, blank lines are skipped.

    Names that several columns have are left out. Raises InputError, whose remedy is `empty` for an empty file, and
    where several columns have a `wanted` name.
    """
    if is_openi(path):
        return _without_outer_blanks(read_openi(path).with_row_index(ROW, offset=1))
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix in _UNREAD:
        raise InputError(f"{path}: a table is a CSV, .tsv, .parquet or .jsonl file", remedy="save it as one of them")
    try:
        data = read_bytes(path)
        data = gzip.decompress(data) if data.startswith(_COMPRESSED) else data
    except (OSError, EOFError, zlib.error) as error:
        reason = f"not readable as CSV ({type(error).__name__})"
        raise InputError(f"{path}: {reason}", remedy="download it again, or correct it") from None
    if suffix == ".parquet":
        table = _parquet(path, data, wanted)
    else:
        text = _decoded(path, data, form)
        if not text.strip():
            raise InputError(f"{path}: empty", remedy=empty)
        lines = suffix in (".jsonl", ".ndjson")
        separator = form.separator or default_separator(path)
        table = _json_lines(path, text) if lines else _csv(path, text, separator, wanted)
    return _without_outer_blanks(table)


def _without_outer_blanks(table: pl.DataFrame) -> pl.DataFrame:
    """Return the table with null for blank cells."""
    text_columns = pl.col(pl.String).str.strip_chars()
    return table.with_columns(pl.when(text_columns != "").then(text_columns))


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Return number and text of the lines of a list without header; blank lines are skipped.

    Raises InputError where the file is missing, empty or not UTF-8.
    """
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeError):
        raise InputError(f"{path}: not readable as text", "correct the file name, or download it again") from None
    found = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise InputError(f"{path}: empty", "download it again, or write one id a line")
    return found


def default_separator(path: Path) -> str:
    """Return the separator that a file's suffix implies."""
    return "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","


def _decoded(path: Path, data: bytes, form: TableFormat) -> str:
    if data.startswith(_WORKBOOK):
        raise InputError(f"{path}: a ZIP archive or a workbook, not a CSV", remedy="unpack it, or save it as CSV")
    looks_wide = b"\0" in data  # of each ASCII character, commas and line ends at least
    is_wide = codecs.lookup(form.encoding).name.startswith(("utf-16", "utf-32"))
    if looks_wide and not is_wide:
        raise InputError(f"{path}: the file looks like UTF-16", remedy=_say(form, "set encoding: utf-16"))
    remedy = _say(form, "set encoding, e.g. utf-8, latin-1, cp1252 or utf-16")
    try:
        text = data.decode(form.encoding)
    except UnicodeError as error:
        line = data[: getattr(error, "start", 0)].count(b"\n") + 1
        raise InputError(f"{path}: line {line}: not {form.encoding}", remedy) from None
    if (meant := _meant_encoding(data, text, form)) is not None:
        remedy = _say(form, f"set encoding: {meant}")
        raise InputError(f"{path}: the file is {meant}, not {form.encoding}", remedy)
    if "\0" in text or _SURROGATE.search(text) or (is_wide and data.strip() and not looks_wide):
        raise InputError(f"{path}: not {form.encoding}", remedy)
    return text.removeprefix("\ufeff")


_C1 = re.compile(r"[\x80-\x9f]")  # control characters that no text has: in cp1252 they are quotes and dashes


def _meant_encoding(data: bytes, text: str, form: TableFormat) -> str | None:
    """Return the encoding that a file is in, where another one, of one byte per character, was declared for it."""
    if data.isascii() or len(text) != len(data):
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        is_latin = codecs.lookup(form.encoding).name == "iso8859-1"
        return "cp1252" if is_latin and _C1.search(text) else None
    return "utf-8"


def _say(form: TableFormat, key: str) -> str:
    return key if form.keys else "download it again, or save it as UTF-8 with commas"


def _names_held_once(path: Path, header: list[str], wanted: Collection[str]) -> list[str]:
    """Return the names that one column has. Raises InputError where several have a wanted one: either may be meant."""
    twice = [name for name in wanted if header.count(name) > 1]
    if twice:
        what = f"{path}: {header.count(twice[0])} columns have the name {twice[0]}"
        raise InputError(what, remedy="rename or remove all but one of them")
    return [name for name in header if header.count(name) == 1]


def _csv(path: Path, text: str, separator: str, wanted: Collection[str]) -> pl.DataFrame:
    """Parse strictly: every row has as many cells as the header, and every quote is closed."""
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    header: list[str] = []
    named = 0  # columns up to the last that has a name; behind it, rows may end early
    rows: list[list[str]] = []
    numbers: list[int] = []
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            if not cells or (len(cells) == 1 and not cells[0].strip()):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                named = max((place for place, name in enumerate(header, start=1) if name), default=len(header))
            elif not named <= len(cells) <= len(header):
                counts = f"row {number} has {len(cells)} cells, but the header has {len(header)}"
                raise InputError(
                    f"{path}: not readable as CSV ({counts})",
                    remedy="correct the row; a cell that holds the separator needs quotes",
                )
            else:
                rows.append(cells + [""] * (len(header) - len(cells)))
                numbers.append(number)
    except csv.Error as error:
        raise InputError(
            f"{path}: not readable as CSV (row {number + 1}: {error})", remedy="correct the row's quotes"
        ) from None
    columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(header, ())
    once = {name: list(columns[name]) for name in _names_held_once(path, header, wanted)}
    table = pl.DataFrame({ROW: numbers} | once, schema={ROW: pl.UInt32} | dict.fromkeys(once, pl.String))
    first_cells = pl.Series([cells[0] for cells in rows], dtype=pl.String)
    refuse_swallowed_rows(path, table, header, first_cells, separator)
    return table


class _RepeatedKeyError(ValueError):
    """An object has a key twice; of the two values, Python would keep the last."""


def _with_distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose names have no outer blanks. Raises _RepeatedKeyError."""
    row = {name.strip(): value for name, value in pairs}
    if len(row) < len(pairs):
        raise _RepeatedKeyError
    return row


def _json_lines(path: Path, text: str) -> pl.DataFrame:
    """Parse an object per line; numbers keep their digits, a key that a line lacks is a blank cell."""
    rows: list[dict[str, Any]] = []
    numbers = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_int=str, parse_float=str, parse_constant=lambda _: None,
                             object_pairs_hook=_with_distinct_keys)  # fmt: skip
        except _RepeatedKeyError:
            raise InputError(f"{path}: line {number} has a key twice", remedy="keep one of them") from None
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or any(isinstance(value, dict | list) for value in row.values()):
            raise InputError(
                f"{path}: line {number} is not an object of names and plain values", remedy="write one object per line"
            )
        if any(_SURROGATE.search(f"{name}{value}") for name, value in row.items()):
            what = f"{path}: line {number} has half of a character (a lone surrogate, \\ud800 to \\udfff)"
            raise InputError(what, remedy="write the whole character, or remove it")
        rows.append({name: str(value).lower() if isinstance(value, bool) else value for name, value in row.items()})
        numbers.append(number)
    names = dict.fromkeys(name for row in rows for name in row)
    cells = {name: [row.get(name) for row in rows] for name in names}
    return pl.DataFrame({ROW: numbers} | cells, schema={ROW: pl.UInt32} | dict.fromkeys(cells, pl.String))


def _parquet(path: Path, data: bytes, wanted: Collection[str]) -> pl.DataFrame:
    """Read Parquet; columns of lists, of durations and the like, which are no cells, are left out."""
    try:
        table = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: not readable as Parquet ({type(error).__name__})", remedy="write it again") from None
    names = [name.strip() for name in table.columns]
    once = _names_held_once(path, names, wanted)
    texts = [_as_text(each.alias(name)) for name, each in zip(names, table, strict=True) if name in once]
    return pl.DataFrame([each for each in texts if each is not None]).with_row_index(ROW, offset=1)


def _as_text(column: pl.Series) -> pl.Series | None:
    """Return the cells of a column as text, or None where they are no text, number, date or the like."""
    if column.dtype == pl.List(pl.String):
        return pl.Series(column.name, [None if cell is None else str(cell) for cell in column.to_list()], pl.String)
    if column.dtype.is_nested() or column.dtype == pl.Binary:
        return None
    try:
        return (_integers_if_whole(column) if column.dtype.is_float() else column).cast(pl.String)
    except pl.exceptions.PolarsError:
        return None


def _integers_if_whole(column: pl.Series) -> pl.Series:
    """Return a column of floats with null for NaN, as integers where all are whole.

    pandas stores integers with blanks among them as floats, and patient 1.0 would not be patient 1 of another table.
    """
    known = column.fill_nan(None)
    is_whole = ((known == known.round()) & (known.abs() < _EXACT)).all()  # blanks do not count
    return known.cast(pl.Int64) if is_whole else known

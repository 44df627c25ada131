"""Table files as text: CSV, JSON lines or Parquet, by suffix, .gz or not.

A file is opened by its exact path and handed on as bytes, because table libraries take a path for a pattern or an
address. Cells are text, as written. Rows are never padded or cut; no message quotes a cell, which may be a patient's.
"""

import codecs
import csv
import gzip
import io
import json
import zlib
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import InputError
from .own_tables import TableFormat

# The number of a row in its file, header counted. Names of columns lose outer blanks, so no column has this name.
ROW = " row"

_COMPRESSED = b"\x1f\x8b"
_WORKBOOK = b"PK\x03\x04"
_UNREAD = (".json", ".xlsx", ".xls", ".ods", ".feather", ".arrow", ".zip")


def read_table_file(path: Path, form: TableFormat, empty: str) -> pl.DataFrame:
    """Return the columns as text, and `ROW`; blank cells are null, outer blanks are removed, blank lines are skipped.

    Names that several columns have are left out. Raises InputError, whose remedy is `empty` for an empty file.
    """
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix in _UNREAD:
        raise InputError(f"{path}: a table is a CSV, .tsv, .parquet or .jsonl file", remedy="save it as one of them")
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data.startswith(_COMPRESSED) else data
    except (OSError, EOFError, zlib.error) as error:
        reason = f"not readable as CSV ({type(error).__name__})"
        raise InputError(f"{path}: {reason}", remedy="download it again, or correct it") from None
    if suffix == ".parquet":
        table = _parquet(path, data)
    else:
        text = _decoded(path, data, form)
        if not text.strip():
            raise InputError(f"{path}: empty", remedy=empty)
        lines = suffix in (".jsonl", ".ndjson")
        table = _json_lines(path, text) if lines else _csv(path, text, form.separator or default_separator(path))
    text_columns = pl.col(pl.String).str.strip_chars()
    return table.with_columns(pl.when(text_columns != "").then(text_columns))


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
    if "\0" in text or (is_wide and data.strip() and not looks_wide):
        raise InputError(f"{path}: not {form.encoding}", remedy)
    return text.removeprefix("\ufeff")


def _say(form: TableFormat, key: str) -> str:
    return key if form.keys else "download it again, or save it as UTF-8 with commas"


def _csv(path: Path, text: str, separator: str) -> pl.DataFrame:
    """Parse strictly: every row has as many cells as the header, and every quote is closed."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    header: list[str] = []
    rows: list[list[str]] = []
    numbers: list[int] = []
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            if not cells or (len(cells) == 1 and not cells[0].strip()):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
            elif len(cells) != len(header):
                counts = f"row {number} has {len(cells)} cells, but the header has {len(header)}"
                raise InputError(
                    f"{path}: not readable as CSV ({counts})",
                    remedy="correct the row; a cell that holds the separator needs quotes",
                )
            else:
                rows.append(cells)
                numbers.append(number)
    except csv.Error as error:
        raise InputError(
            f"{path}: not readable as CSV (row {number + 1}: {error})", remedy="correct the row's quotes"
        ) from None
    columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(header, ())
    once = {name: list(cells) for name, cells in columns.items() if header.count(name) == 1}
    return pl.DataFrame({ROW: numbers} | once, schema={ROW: pl.UInt32} | dict.fromkeys(once, pl.String))


def _json_lines(path: Path, text: str) -> pl.DataFrame:
    """Parse an object per line; numbers keep their digits, a key that a line lacks is a blank cell."""
    rows: list[dict[str, Any]] = []
    numbers = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_int=str, parse_float=str, parse_constant=lambda _: None)
        except ValueError:
            row = None
        if not isinstance(row, dict) or any(isinstance(value, dict | list) for value in row.values()):
            raise InputError(
                f"{path}: line {number} is not an object of names and plain values", remedy="write one object per line"
            )
        rows.append(
            {name.strip(): str(value).lower() if isinstance(value, bool) else value for name, value in row.items()}
        )
        numbers.append(number)
    names = dict.fromkeys(name for row in rows for name in row)
    cells = {name: [row.get(name) for row in rows] for name in names}
    return pl.DataFrame({ROW: numbers} | cells, schema={ROW: pl.UInt32} | dict.fromkeys(cells, pl.String))


def _parquet(path: Path, data: bytes) -> pl.DataFrame:
    """Read Parquet; columns of lists and the like, which are no cells, are left out."""
    try:
        table = pl.read_parquet(io.BytesIO(data)).rename(str.strip)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: not readable as Parquet ({type(error).__name__})", remedy="write it again") from None
    plain = [name for name, kind in table.schema.items() if not kind.is_nested() and kind != pl.Binary]
    numbers = table.select(plain).with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
    return numbers.cast(pl.String).with_row_index(ROW, offset=1)

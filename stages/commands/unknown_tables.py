"""Tables whose separator and encoding are not known: the format with the most columns."""

import csv
import gzip
import io
from collections import Counter
from pathlib import Path

import polars as pl

from ..common.data.openi_reports import is_openi
from ..common.data.own_tables import TableFormat
from ..common.data.table_files import default_separator, read_table_file
from ..common.errors import InputError

_SEPARATORS = (",", ";", "\t", "|")


def read_any(path: Path) -> tuple[pl.DataFrame, TableFormat]:
    """Read a table whose separator and encoding are not known.

    Raises InputError, that of the usual format, where no format fits.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file", remedy="name the table of your data set")
    encoding = _encoding_of(path)
    usual = default_separator(path)
    separators = (usual, *(each for each in _SEPARATORS if each != usual))
    found, error = None, None
    for separator in separators:
        form = TableFormat(None if separator == usual else separator, encoding, keys=True)
        try:
            table = read_table_file(path, form, "name a table with rows")
        except InputError as wrong:
            error = error or wrong
            continue
        if found is None or table.width > found[0].width:
            found = table, form
    if found is None:
        assert error is not None
        raise error
    if found[0].is_empty():
        raise InputError(f"{path}: no rows", remedy="name a table with a header and rows")
    return found


def repeated_names(path: Path, form: TableFormat) -> dict[str, int]:
    """Return the names that several columns of a CSV file have, with how many; other tables hold a name once."""
    data = path.read_bytes()
    data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    if is_openi(path) or {*Path(path.name.lower()).suffixes} & {".parquet", ".jsonl", ".ndjson"}:
        return {}
    text = io.StringIO(data.decode(form.encoding).removeprefix("\ufeff"), newline="")
    rows = csv.reader(text, delimiter=form.separator or default_separator(path), skipinitialspace=True)
    header = next(row for row in rows if any(map(str.strip, row)))
    return {name: number for name, number in Counter(map(str.strip, header)).items() if number > 1}


def _encoding_of(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith((b"PAR1", b"\x1f\x8b")):  # Parquet or gzip
        return "utf-8"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:1000]:
        return "utf-16"
    for encoding in ("utf-8", "cp1252"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"

"""Paths and report texts of a keyed data set, which can hold names of people, kept in a private folder.

Where identifiers are keyed, `hide` moves both columns into a table in the private folder, row by row, and leaves nulls.
`reveal` restores them for the stages that open the files. The metadata name the private table and its keyed digest, so
a changed path or report changes the public table, and whatever depends on it runs again.
"""

import hmac
import shlex
from pathlib import Path

import pyarrow as pa

from ..errors import InputError
from ..files.arrow_tables import map_table, write_table
from ..files.atomic_files import private_files
from .identifiers import read_key

_HIDDEN = ("path", "text")
_KIND, _NAME, _DIGEST = b"identifiers", b"private_table", b"private_hmac_sha256"


def is_keyed(table: pa.Table) -> bool:
    """Return whether the table's identifiers are keyed."""
    return (table.schema.metadata or {}).get(_KIND) == b"keyed"


def hide(table: pa.Table, private: Path, name: str) -> pa.Table:
    """Return `table` with nulls for path and text, which are written to `<private>/<name>` with mode 0600."""
    hidden = table.select([column for column in _HIDDEN if column in table.column_names])
    with private_files():
        write_table(private / name, hidden.schema, hidden)
    for column in hidden.column_names:
        field = table.schema.field(column)
        place = table.schema.get_field_index(column)
        table = table.set_column(place, field, pa.nulls(len(table), field.type))
    return table.replace_schema_metadata({_KIND: b"keyed", _NAME: name, _DIGEST: _digest(private, private / name)})


def reveal(table: pa.Table, private: Path | None) -> pa.Table:
    """Return the table as it was before `hide`; one with distributed identifiers is returned unchanged.

    Raises InputError where the private folder, its key or its table is missing, or belongs to another run.
    """
    if not is_keyed(table):
        return table
    read_key(private)
    assert private is not None  # otherwise read_key has raised
    path = private / table.schema.metadata[_NAME].decode()
    if not path.is_file() or _digest(private, path).encode() != table.schema.metadata[_DIGEST]:
        raise InputError(
            f"{path}: missing, or from another run than the index", remedy="run index_inputs of the data set again"
        )
    hidden = map_table(path)
    for column in hidden.column_names:
        place = table.schema.get_field_index(column)
        table = table.set_column(place, table.schema.field(column), hidden[column])
    return table


def how_to_name(output: Path) -> str:
    """Return the command that names the files behind the ids of a stage's output, `<workspace>/results/...`."""
    folders = output.parts  # not made absolute: messages go to journals
    if "results" not in folders:
        return ""
    workspace = Path(*folders[: len(folders) - 1 - folders[::-1].index("results")])
    return f"mlip rejects --workspace {shlex.quote(str(workspace))}"


def _digest(private: Path, path: Path) -> str:
    return hmac.digest(read_key(private), path.read_bytes(), "sha256").hex()

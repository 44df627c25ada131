"""Arrow IPC files: written atomically with a sha256 side-car, and uncompressed, so that they can be memory-mapped."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pyarrow as pa

from ..errors import InputError
from .atomic_files import atomic_path, verify, write_sidecar


def write_table(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch] | pa.Table) -> str:
    """Write record batches (or a table) under `schema` and return the file's sha256.

    Raises ValueError where a column holds a null that its schema forbids.
    """
    if isinstance(batches, pa.Table):
        batches = batches.to_batches()
    with (
        atomic_path(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        for batch in batches:
            for field, column in zip(schema, batch.columns, strict=True):
                if column.null_count and not field.nullable:  # Arrow itself does not check this
                    raise ValueError(f"{path}: {field.name} holds a null, which its schema forbids")
            writer.write_batch(batch)
    return write_sidecar(path)


def conform(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """Return the columns of `schema`, in its order and types, as an Arrow table."""
    return frame.select(schema.names).rechunk().to_arrow().cast(schema)


def write_frame(path: Path, schema: pa.Schema, frame: pl.DataFrame) -> str:
    """Write the columns of `schema` and return the file's sha256."""
    return write_table(path, schema, conform(frame, schema))


def write_rows(path: Path, schema: pa.Schema, rows: list[dict]) -> str:
    """Write a list of rows and return the file's sha256. Raises ValueError for a missing or unknown column."""
    names = set(schema.names)
    for row in rows:
        if set(row) != names:
            raise ValueError(f"{path}: row with columns {sorted(set(row) ^ names)} missing or unknown")
    return write_table(path, schema, pa.Table.from_pylist(rows, schema=schema))


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Verify the side-car, memory-map the file and check that it has `schema`.

    Raises InputError where the file is missing, damaged or has other columns.
    """
    verify(path)
    table = map_table(path)
    if not table.schema.equals(schema):
        raise InputError(
            f"{path}: columns differ from the contract in stages/common/files/schemas.py", remedy="run its stage again"
        )
    return table


def map_table(path: Path) -> pa.Table:
    """Memory-map a file without reading it; the caller has verified it. Call it inside each worker."""
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{path}: not an Arrow IPC file ({error})", remedy="delete it and run its stage again"
        ) from None

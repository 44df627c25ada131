"""Log of a shard's outcomes, a file that only grows: a killed job resumes after the last complete record.

A record is its kind (1 byte), the length and the CRC-32 of its content (4 bytes each, little endian), and the content:
a record batch of one row in Arrow's IPC format. Record i is the outcome of row i of the shard's index.
"""

import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import pyarrow as pa

from ..common.errors import InputError
from ..common.files import schemas
from ..common.files.atomic_files import take_lock, warn_without_locks

Kind = Literal["image", "reject"]

_HEADER = struct.Struct("<cII")
_CODES: dict[Kind, bytes] = {"image": b"i", "reject": b"r"}
_ROWS_A_BATCH = 64  # 64 x 256 x 256 bytes = 4 MiB in memory at a time


@dataclass(frozen=True)
class Outcome:
    """Outcome of one file: exactly one of the two rows."""

    image: dict[str, Any] | None = None
    reject: dict[str, Any] | None = None


class OutcomeLog:
    """Outcomes of the files `image_ids`, in their order; `len` of them exist.

    What follows the last complete record (a torn write, a flipped bit, another index) is cut off when the log is
    opened. A kill of the process loses no appended record; a crash of the machine may, and then the rest is done again.
    """

    def __init__(self, path: Path, size: int, image_ids: Sequence[str]) -> None:
        self.path = path
        self._schemas: dict[Kind, pa.Schema] = {"image": schemas.images(size), "reject": schemas.REJECTS}
        self._records: list[tuple[Kind, int]] = []  # kind and offset
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        self._lock()
        end = 0
        for image_id in image_ids:
            record = self._read(end)
            if record is None or record[1].column(0 if record[0] == "image" else 1)[0].as_py() != image_id:
                break
            self._records.append((record[0], end))
            end = self._file.tell()
        self._file.truncate(end)

    def __len__(self) -> int:
        return len(self._records)

    def __enter__(self) -> "OutcomeLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def append(self, outcome: Outcome) -> None:
        """Append the outcome of the next file. Raises ValueError where its columns are not those of its table."""
        kind: Kind = "reject" if outcome.image is None else "image"
        row, schema = outcome.image or outcome.reject, self._schemas[kind]
        if row is None or set(row) != set(schema.names):
            raise ValueError(f"an outcome whose columns are not those of its table: {sorted(row or [])}")
        content = pa.RecordBatch.from_pylist([row], schema=schema).serialize()
        self._records.append((kind, self._file.seek(0, 2)))
        self._file.write(_HEADER.pack(_CODES[kind], content.size, zlib.crc32(content)))
        self._file.write(content)
        self._file.flush()  # into the kernel, so that it outlives this process

    def batches(self, kind: Kind) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one kind in order, in blocks that depend only on their number."""
        offsets = [offset for each, offset in self._records if each == kind]
        for start in range(0, len(offsets), _ROWS_A_BATCH):
            rows = [self._read(offset) for offset in offsets[start : start + _ROWS_A_BATCH]]
            if None in rows:
                raise InputError(f"{self.path}: damaged while in use", remedy="delete it and run again")
            yield from pa.Table.from_batches([row[1] for row in rows if row]).combine_chunks().to_batches()

    def _read(self, offset: int) -> tuple[Kind, pa.RecordBatch] | None:
        """Return the record at `offset`, or None if it is incomplete; the file's position is then the record's end."""
        self._file.seek(offset)
        header = self._file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None
        code, length, checksum = _HEADER.unpack(header)
        kind = next((kind for kind, each in _CODES.items() if each == code), None)
        content = self._file.read(length)
        if kind is None or len(content) < length or zlib.crc32(content) != checksum:
            return None
        return kind, pa.ipc.read_record_batch(pa.py_buffer(content), self._schemas[kind])

    def _lock(self) -> None:
        """Lock the log for one job; the kernel frees the lock when the process ends, however it ends.

        Raises InputError where another job holds it.
        """
        try:
            locked = take_lock(self._file)
        except OSError as error:  # the workflow's own lock has to do
            warn_without_locks(self.path.parent, error)
            return
        if not locked:
            self._file.close()
            raise InputError(f"{self.path}: another job is converting this shard", remedy="wait until it ends")


def remove_other_logs(log: Path) -> None:
    """Remove logs of this shard of other settings, code or data; `log` is `<shard>/<digest>/outcomes.log`."""
    for other in log.parents[1].glob(f"*/{log.name}"):
        if other != log:
            shutil.rmtree(other.parent)

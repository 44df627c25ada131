"""Files that are either whole or absent: temporary name, fsync, rename, sha256 side-car."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from stages.common.errors import InputError
from stages.common.file_locks import lives
from stages.common.pending_checks import settle


@contextmanager
def atomic_path(path: Path, output: bool = True) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success it becomes `path`, on failure it is removed.

    Before an output gets its name, checks of inputs that run in the background are awaited: what they find is raised
    here. `output` is false for what a run says of itself while it runs.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        if output:
            settle()
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)  # the rename itself has to reach the disk
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _remove_leftovers(path: Path) -> None:
    """Temporary files of `path` whose process was killed; a process of another host is none here."""
    for left in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        number = left.name.removeprefix(f".{path.name}.").removesuffix(".tmp")
        if number.isdecimal() and not lives(int(number)):
            left.unlink(missing_ok=True)


def write_text(path: Path, text: str, output: bool = True) -> None:
    with atomic_path(path, output) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """`value` as indented JSON; floats keep every digit, NaN is refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that writes it first") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); delete it and run its stage again") from None


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sidecar_of(path: Path) -> Path:
    return Path(path).with_name(Path(path).name + ".sha256")


def write_record(path: Path, value: Any) -> None:
    """An output in JSON, with its side-car: what `verify` wants of every file that a later stage reads."""
    write_json(path, value)
    write_sidecar(path)


def write_sidecar(path: Path) -> str:
    """Write `<path>.sha256` in the format of `sha256sum` and return the digest."""
    digest = sha256_of(path)
    write_text(sidecar_of(path), f"{digest}  {Path(path).name}\n")
    return digest


def read_sidecar(path: Path) -> str | None:
    """The digest recorded when `path` was written, or None where there is no side-car."""
    try:
        words = sidecar_of(path).read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return None
    return words[0] if words else None


def verify(path: Path) -> str:
    """Check a file against its side-car and return its digest: one flipped bit is an error here."""
    if not Path(path).exists():
        raise InputError(f"{path}: no such file; run the stage that writes it first")
    recorded, found = read_sidecar(path), sha256_of(path)
    if recorded is None:
        raise InputError(f"{path}: its side-car {sidecar_of(path).name} is missing; run the stage that writes it again")
    if recorded != found:
        raise InputError(f"{path}: damaged (sha256 {found[:12]}, written as {recorded[:12]}); delete it and run again")
    return found

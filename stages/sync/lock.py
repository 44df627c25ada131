"""A lock file for a single writer, which names its holder.

The kernel's lock is used where the file system has one (flock). Where it has none (some mounts of Lustre, NFS and
FUSE), a second file replaces it, whose creation succeeds only once; it outlives a crash, so it names its host and
process.
"""

import errno
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from ..common.digests import digest_of
from ..common.errors import InputError
from ..common.files.atomic_files import lives, take_lock

_SECONDS_BETWEEN_TRIES = 0.2
WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


@contextmanager
def single_writer(path: Path, patience: float) -> Iterator[None]:
    """Hold the lock file `path`; wait up to `patience` seconds for it. Raises InputError that names its holder.

    The kernel frees the lock when its process ends, however it ends: a file left behind blocks nobody.
    """
    deadline = time.monotonic() + patience
    with path.open("a+", encoding="utf-8") as handle:
        while (locked := _locked(handle)) is False:
            if time.monotonic() >= deadline:
                handle.seek(0)
                holder = handle.read().strip() or "unknown"
                raise InputError(
                    f"{path}: another sync holds it ({holder})", remedy="wait for it to end, then sync again"
                )
            time.sleep(_SECONDS_BETWEEN_TRIES)
        if locked is None:
            with _only_file(path.with_name(f"{path.name}.held"), deadline):
                yield
            return
        handle.truncate(0)
        handle.write(_self())
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)  # the lock itself goes with the file handle


def _self() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _locked(file: IO) -> bool | None:
    """Return whether this process has the lock now; None where the file system has no locks."""
    try:
        return take_lock(file)
    except OSError as error:
        if error.errno in WITHOUT_LOCKS:
            return None
        raise


@contextmanager
def _only_file(path: Path, deadline: float) -> Iterator[None]:
    """Hold `path` by creating it; a file left by a dead process of this host is taken over.

    Raises InputError where another process keeps it beyond `deadline`.
    """
    mine = f"{_self()}, {secrets.token_hex(4)}"  # no two holders write the same
    while not _made(path, mine):
        holder = _content(path)
        if _is_dead(holder) and _taken_over(path, holder, mine):
            break
        if time.monotonic() >= deadline:
            raise InputError(
                f"{path}: another sync holds it ({holder or 'unknown'}), on a file system without locks",
                remedy="wait for it to end; if that process no longer exists, delete the file; then sync again",
            )
        time.sleep(_SECONDS_BETWEEN_TRIES)
    try:
        yield
    finally:
        if _content(path) == mine:
            path.unlink(missing_ok=True)


def _made(path: Path, text: str) -> bool:
    try:
        handle = path.open("x", encoding="utf-8")  # O_CREAT | O_EXCL
    except FileExistsError:
        return False
    try:
        with handle:
            handle.write(text)
    except OSError:  # no space: an empty file would block everybody
        path.unlink()
        raise
    return True


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _is_dead(holder: str) -> bool:
    """Return whether the holder is a process of this host that has ended; for other hosts this cannot be known."""
    named = re.match(r"process (\d+) on (\S+) since ", holder)
    return named is not None and named[2] == socket.gethostname() and not lives(int(named[1]))


def _taken_over(path: Path, dead: str, mine: str) -> bool:
    """Replace the text of the dead holder by `mine`, if it is still there; return whether that succeeded.

    Only one process at a time may try for each dead holder: two that saw it at once would take the lock from one
    another.
    """
    right = path.with_name(f"{path.name}.{digest_of(dead)[:8]}")
    if not _made(right, mine):
        return False
    try:
        if _content(path) != dead:  # another took it over before
            return False
        path.write_text(mine, encoding="utf-8")
        return True
    finally:
        right.unlink(missing_ok=True)

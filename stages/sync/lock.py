"""One writer at a time: a lock file that says who holds it."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from stages.common.errors import InputError

_SECONDS_BETWEEN_TRIES = 0.2


@contextmanager
def single_writer(path: Path, patience: float) -> Iterator[None]:
    """Hold the lock file `path`; wait up to `patience` seconds for it, then InputError names its holder.

    The kernel frees the lock when its process ends, however it ends: a file left behind blocks nobody.
    """
    with path.open("a+", encoding="utf-8") as handle:
        deadline = time.monotonic() + patience
        while not _locked(handle.fileno()):
            if time.monotonic() >= deadline:
                handle.seek(0)
                holder = handle.read().strip() or "unknown"
                raise InputError(f"{path}: another sync holds it ({holder}); wait for it to end, then sync again")
            time.sleep(_SECONDS_BETWEEN_TRIES)
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)  # the lock itself goes with the file handle


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

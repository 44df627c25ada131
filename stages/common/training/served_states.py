"""Ownership of a folder of training states, `<workspace>/state/<stage>/<name>/<digest>/`, and its removal.

One process at a time trains in a folder. When its outputs are complete the folder is marked, not removed: a node that
dies in the seconds before Snakemake has seen the end takes the outputs with it, and the next attempt makes them again
from the last state. Marked folders are removed when a workflow has ended well (`remove_served`).
"""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ..errors import InputError
from ..files.atomic_files import take_lock, warn_without_locks

_LOCK = "lock"
_SERVED = "served"


@contextmanager
def state_in_use(folder: Path) -> Iterator[Path]:
    """Hold `folder`, which is yielded, for this process. Raises InputError that names the job that holds it already.

    Enclose all code that reads the states and writes the outputs made from them: an end without an error marks the
    states. The kernel frees the folder when the process ends, however it ends.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _SERVED).unlink(missing_ok=True)
    with (folder / _LOCK).open("a+") as file:
        _lock(file, folder)
        file.truncate(0)
        file.write(_this_process())
        file.flush()
        yield folder
        mark_served(folder)


def mark_served(folder: Path) -> None:
    """Mark these states, and those beside them, as no longer needed, since the outputs are complete."""
    for each in Path(folder).parent.iterdir():
        if each.is_dir():
            (each / _SERVED).touch()


def unfinished_beside(folder: Path) -> list[Path]:
    """Return the folders of other settings, code or data whose outputs were never completed."""
    others = sorted(each for each in Path(folder).parent.iterdir() if each.is_dir() and each != Path(folder))
    return [each for each in others if not (each / _SERVED).exists()]


def remove_served(root: Path) -> None:
    """Remove every marked folder below the workspace's `state/`."""
    for mark in sorted(Path(root).rglob(_SERVED)):
        shutil.rmtree(mark.parent, ignore_errors=True)


def _lock(file: TextIO, folder: Path) -> None:
    try:
        locked = take_lock(file)
    except OSError as error:  # the workflow's own lock has to do
        warn_without_locks(folder, error)
        return
    if not locked:
        file.seek(0)
        holder = file.read().strip() or "another process"
        raise InputError(
            f"{folder}: {holder} is already training here", remedy="wait until it has ended, or end it first"
        )


def _this_process() -> str:
    where = f"process {os.getpid()} on {socket.gethostname()}"
    job = os.environ.get("SLURM_JOB_ID")
    return f"SLURM job {job} ({where})" if job else where

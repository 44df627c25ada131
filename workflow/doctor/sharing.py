"""Checks of a workspace on a shared file system: other users who write it, too, and locks."""

import errno
import fcntl
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from workflow.doctor.findings import Finding
from workflow.doctor.folders import existing

_PRIVATE = "private"
_UPDATED = (
    "mlflow.db",
    "mlflow.db.lock",
    "lock",
    "outcomes.log",
)  # files that are written in place; others are replaced


def _umask() -> int:
    """Return this process's umask. Only Linux tells it without changing it, which other threads could notice."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    os.umask(umask := os.umask(0o077))
    return umask


def check_sharing(workspace: Path, records: Path) -> list[Finding]:
    """Check that this user can go on where another one has worked, and the other way round.

    `records` is the folder `.snakemake`.
    """
    found = list(closed(workspace)) + list(closed(records))
    findings = []
    if found:
        owners = ", ".join(sorted({_owner(each) for each in found}))
        what = f"{len(found):,} files and folders of {owners} are closed to you, e.g. {found[0]}"
        folders = f"{workspace} {records}" if records.is_dir() else workspace
        remedy = f"their owner runs: find {folders} -name {_PRIVATE} -prune -o -user $(id -u) -exec chmod g+rwX {{}} +"
        findings += [Finding("error", "sharing", what, f"{remedy}; and both of you `umask 002` before snakemake")]
    private = workspace / _PRIVATE
    if private.is_dir() and not os.access(private, os.R_OK | os.X_OK):
        what = f"{private} belongs to {_owner(private)}: only that user can prepare data sets with keyed identifiers"
        findings += [Finding("warning", "sharing", what, "let that user run the stages before pretrain")]
    place = existing(workspace)
    mode, umask = place.stat().st_mode, _umask()
    if mode & stat.S_ISGID and mode & stat.S_IWGRP and umask & 0o020:
        what = f"{place} is shared with a group, which umask {umask:03o} shuts out from what a run writes"
        findings += [Finding("warning", "sharing", what, "call `umask 002` before snakemake")]
    return findings


def check_locks(workspace: Path) -> list[Finding]:
    """Check that the file system of the workspace has both kinds of locks; a file is made there and removed again."""
    place, lacking = existing(workspace), []
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            for name, lock in (("flock", fcntl.flock), ("fcntl", fcntl.lockf)):
                try:
                    lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    lacking.append(f"{name}: {errno.errorcode.get(error.errno or 0, error)}")
    except OSError:  # check_workspace says so
        return []
    if not lacking:
        return [Finding("ok", "locks", f"files can be locked in {place}")]
    what = f"{place} has no locks ({', '.join(lacking)}): two runs of one workspace would not notice each other"
    remedy = "mount it with locks (Lustre: -o flock); else start one run at a time, and set MLFLOW_TRACKING_URI"
    return [Finding("warning", "locks", what, remedy)]


def closed(folder: Path) -> Iterator[Path]:
    """Yield what this user can neither read nor, for folders and files written in place, write."""
    if not folder.is_dir():
        return
    for place, folders, files in os.walk(folder):
        with suppress(ValueError):
            folders.remove(_PRIVATE)
        if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
            yield Path(place)
            continue
        for name in files:
            path = os.path.join(place, name)  # noqa: PTH118 - tens of thousands of them
            if not os.access(path, os.R_OK | (os.W_OK if name in _UPDATED else 0)) and os.path.lexists(path):
                yield Path(path)


def _owner(path: Path) -> str:
    owner = path.stat().st_uid
    with suppress(KeyError):
        return pwd.getpwuid(owner).pw_name
    return f"user {owner}"

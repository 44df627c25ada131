"""Copies of a data set's shards on the node's own disk, which all processes of this user on the node share.

The copies of a set of shards lie in one folder, named by their checksums. Each process that reads them holds a shared
lock (flock) on the file `lock` there, which the kernel frees however the process ends. Who can have the lock alone may
fill the folder, or remove it: the last reader does so at its end, and after a kill the next job does.
"""

import atexit
import fcntl
import hashlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import IO

from ..digests import digest_of
from ..errors import InputError, reason_of
from ..files.atomic_files import sidecar_of

NODE_SCRATCH = "MLIP_NODE_SCRATCH"  # environment variable with the folder of `node_scratch` in config.yaml

Shards = Sequence[tuple[Path, str]]  # (file, sha256)

_CHUNK = 2**24  # bytes
_THREADS = 4
_RESERVE = 1.02  # of the free space that the copies may not take


def node_copies(shards: Shards) -> list[Path]:
    """Return the copies of the shards on this node, made now if nobody has; the shards themselves without a folder.

    So, too, where copying fails, after a warning: results are the same, and only reading is slower. The copies are
    removed at the end of the last process that reads them.
    """
    here = [path for path, _ in shards]
    root = os.environ.get(NODE_SCRATCH)
    if not root or not shards:
        return here
    base = Path(root) / f"mlip_{os.getuid()}"  # images of patients: for this user alone
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        if base.lstat().st_uid != os.getuid():
            raise InputError(f"{base} belongs to another user")
        names = [path.name for path in here]
        folder = base / digest_of([[name, digest] for name, (_, digest) in zip(names, shards, strict=True)])[:16]
        _remove_left(base, folder)
        lock = _held(folder, shards)
    except (OSError, InputError) as error:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # once on each node
            reason, node = error.what if isinstance(error, InputError) else reason_of(error), os.uname().nodename
            print(f"warning: node_scratch {root} of {node}: {reason}; reading the shards in {here[0].parent}",
                  file=sys.stderr)  # fmt: skip
        return here
    _release_at_end(folder, lock)
    return [folder / name for name in names]


def _held(folder: Path, shards: Shards) -> IO[str]:
    """Return the shared lock of a folder that holds every shard.

    A change of the kind of lock is not atomic, and a folder can be removed while this process waits for it. So what was
    seen counts only if it is seen again under the lock that is kept.
    """
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            lock = (folder / "lock").open("a")
        except FileNotFoundError:  # just removed
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if _is_current(folder, lock) and _missing(folder, shards):
                fcntl.flock(lock, fcntl.LOCK_EX)
                if _is_current(folder, lock):
                    _fill(folder, shards)
                fcntl.flock(lock, fcntl.LOCK_SH)
            if _is_current(folder, lock) and not _missing(folder, shards):
                return lock
        except BaseException:
            lock.close()
            raise
        lock.close()


def _is_current(folder: Path, lock: IO[str]) -> bool:
    try:
        return os.path.samestat((folder / "lock").stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _missing(folder: Path, shards: Shards) -> list[tuple[Path, str]]:
    """Return the shards without a copy; a copy gets its name only when it is whole."""
    return [(path, digest) for path, digest in shards if not (folder / path.name).is_file()]


def _fill(folder: Path, shards: Shards) -> None:
    """Copy what is missing, checked against the checksums; a folder that cannot be filled is removed."""
    missing = _missing(folder, shards)
    try:
        needed, free = sum(path.stat().st_size for path, _ in missing), shutil.disk_usage(folder).free
        if needed * _RESERVE > free:
            what = f"the shards need {needed / 1e9:,.2f} GB, and {free / 1e9:,.2f} GB are free"
            raise InputError(what)
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(lambda each: _copy(each[0], each[1], folder), missing))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _copy(source: Path, digest: str, folder: Path) -> None:
    """Copy a shard with its side-car. Raises InputError for one that is not what its checksum says."""
    copy, found = folder / source.name, hashlib.sha256()
    temporary = folder / f".{source.name}.tmp"
    with source.open("rb") as read, temporary.open("wb") as write:
        while chunk := read.read(_CHUNK):
            found.update(chunk)
            write.write(chunk)
    if found.hexdigest() != digest:
        raise InputError(f"{source} is damaged")  # the check of the shard itself says more
    sidecar_of(copy).write_text(f"{digest}  {source.name}\n", encoding="utf-8")
    temporary.replace(copy)


def _remove_left(base: Path, but: Path) -> None:
    """Remove the copies of other sets that no living process reads."""
    for folder in base.iterdir():
        if folder != but and folder.is_dir():
            try:
                with (folder / "lock").open("a") as lock:
                    _remove_if_unused(folder, lock)
            except FileNotFoundError:  # removed meanwhile
                continue


def _remove_if_unused(folder: Path, lock: IO[str]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    if _is_current(folder, lock):
        shutil.rmtree(folder, ignore_errors=True)


def _release_at_end(folder: Path, lock: IO[str]) -> None:
    """Remove the copies when this process ends as the last reader; its memory maps stay valid until then.

    SIGTERM by itself would end a process without that. Where a journal is kept, it is an exception already.
    """
    process = os.getpid()

    def release() -> None:
        if os.getpid() == process and not lock.closed:  # not in a forked child
            _remove_if_unused(folder, lock)
            lock.close()

    def end(number: int, _: FrameType | None) -> None:
        release()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    atexit.register(release)
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)

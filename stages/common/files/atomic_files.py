"""Files that are either whole or absent, their sha256 side-cars, and locks.

A file is written under a temporary name, flushed to disk (fsync) and renamed. An open file is locked by the kernel
(`take_lock`); a temporary file belongs to the process whose number its name holds (`lives`).

Large inputs are verified in the background. The shards of MIMIC-CXR have 25 GB; to read them before the first image is
used would cost every job a minute or more. A few threads compute their checksums while work begins (hashing releases
the interpreter's lock), and so also bring them into the page cache in order. `atomic_path` awaits them before it
renames, so a flipped bit is still an error before a result exists.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import IO, Any

from ..errors import InputError, of_the_system, reason_of


def take_lock(file: IO) -> bool:
    """Return whether this process now holds the lock of an open file; False if another process holds it.

    The kernel releases it when the process ends, however it ends. Raises OSError where the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def warn_without_locks(folder: Path, error: OSError) -> None:
    """Warn that nothing but Snakemake's lock of its folder keeps two jobs out of `folder`."""
    what = f"the file system has no locks ({reason_of(error)}), so two runs would not notice each other"
    print(f"warning: {folder}: {what}; start one at a time", file=sys.stderr)


def lives(process: int) -> bool:
    """Return whether a process of this host still exists, whoever owns it."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


_THREADS = 4  # threads that hash, at most; each does about 1.2 GB/s


class _Check:
    def __init__(self, check: Callable[[], object]) -> None:
        self.check, self.done = check, Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.check()
        except BaseException as error:  # raised again by `settle`
            self.error = error
        finally:
            self.done.set()


_pending: list[_Check] = []


def check_in_background(checks: Iterable[Callable[[], object]]) -> None:
    """Start `checks`; the next `settle` raises what one of them raises."""
    waiting: SimpleQueue[_Check] = SimpleQueue()
    begun = [_Check(check) for check in checks]
    for check in begun:
        waiting.put(check)
    _pending.extend(begun)
    for _ in range(min(_THREADS, len(begun), max(1, len(os.sched_getaffinity(0)) // 2))):
        Thread(target=_work, args=(waiting,), daemon=True).start()  # daemons: a job that fails does not wait for them


def settle() -> None:
    """Wait for every check that was started, and raise their first error; only once, so that it can be reported."""
    begun = _pending.copy()
    for check in begun:
        check.done.wait()
    _pending[:] = [check for check in _pending if check not in begun]
    for check in begun:
        if check.error is not None:
            raise check.error


def _work(waiting: SimpleQueue[_Check]) -> None:
    while True:
        try:
            check = waiting.get_nowait()
        except Empty:
            return
        check.run()


os.register_at_fork(after_in_child=_pending.clear)  # a child has no such threads; its parent awaits the checks


@contextmanager
def atomic_path(path: Path, output: bool = True) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` on success, remove it on failure.

    The umask, or a default ACL, decides who may read and write the file, even if the writer allows its own user only:
    safetensors does, which would lock the others of a shared workspace out.

    Before an output gets its name, background checks of inputs are awaited, and their errors are raised here. Pass
    `output=False` for what a run reports about itself while it runs.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(_temporary_name(path))
    try:
        yield temporary
        if not temporary.stat().st_mode & 0o077:
            temporary.chmod(_usual_mode(temporary))
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        if output:
            settle()
        temporary.replace(path)
    except OSError as error:
        if error.errno and error.filename in (None, str(temporary)):
            error.filename = str(path)  # the name that the user knows; Arrow gives none
        temporary.unlink(missing_ok=True)
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)  # the rename itself has to reach the disk
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def private_files() -> Iterator[None]:
    """Let only this user read the files and folders that this process creates meanwhile, not even while they are empty.

    The umask is that of the whole process: no other thread may write files meanwhile.
    """
    umask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(umask)


def _usual_mode(temporary: Path) -> int:
    """Return the mode that a new file gets beside `temporary`, by the umask or by a default ACL of the folder."""
    probe = temporary.with_name(f"{temporary.name}.mode")
    handle = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return os.fstat(handle).st_mode & 0o777
    finally:
        os.close(handle)
        probe.unlink()


def _temporary_name(path: Path) -> str:
    return f".{path.name}.{os.getpid()}.tmp"


def check_writable(path: Path, folder: bool = False) -> None:
    """Check that a file, or a `folder`, can be written at `path`, before the work for it begins; nothing of it stays.

    A byte is written in the nearest folder that exists. Raises InputError where `path` is something else, lies below a
    file, in a folder without rights or without space, or has a name that no file can have.
    """
    path = Path(path)
    if not folder and os.path.isdir(path):  # noqa: PTH112 - unlike pathlib's, it raises no error
        raise InputError(f"{path}: is a folder", remedy="name a file")
    if not folder and os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        raise InputError(f"{path}: is a device, pipe or socket", remedy="name a file")
    place = path.absolute() if folder else path.absolute().parent
    while not os.path.lexists(place):
        place = place.parent
    if not os.path.isdir(place):  # noqa: PTH112
        shown = place if path.is_absolute() else os.path.relpath(place)
        raise InputError(f"{path}: {shown} is no folder", remedy="name another path, or move that file")
    probe = place / _temporary_name(path.absolute())
    try:
        for name in path.absolute().relative_to(place).parts:  # names of folders that are not there yet, too
            with suppress(FileNotFoundError):
                (place / name).stat()
        probe.unlink(missing_ok=True)
        with probe.open("xb") as file:  # in a folder of all users, what others put under this name is not followed
            file.write(b"0")
        probe.unlink(missing_ok=True)
    except ValueError as error:
        raise InputError(f"{path}: cannot be written ({reason_of(error)})", remedy="name another file") from None
    except OSError as error:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
        error.filename = str(path)
        told = of_the_system(error)
        if told is None:
            raise
        reason = told.what.removeprefix(f"{path}: ")
        raise InputError(f"{path}: cannot be written ({reason})", told.remedy) from None


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of `path` whose process was killed; processes of other hosts count as gone."""
    for left in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        number = left.name.removeprefix(f".{path.name}.").removesuffix(".tmp")
        if number.isdecimal() and not lives(int(number)):
            left.unlink(missing_ok=True)


def write_text(path: Path, text: str, output: bool = True) -> None:
    """Write a text file atomically, as UTF-8."""
    with atomic_path(path, output) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; floats keep every digit. Raises ValueError for NaN."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises InputError where it is missing, cannot be read or is not valid JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", remedy="run the stage that writes it first") from None
    except OSError as error:
        raise of_the_system(error) or error from None
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, no UTF-8, or a number of too many digits
        raise InputError(f"{path}: not valid JSON ({error})", remedy="delete it and run its stage again") from None


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sidecar_of(path: Path) -> Path:
    """Return the path of a file's sha256 side-car."""
    return Path(path).with_name(Path(path).name + ".sha256")


def write_checked_json(path: Path, value: Any) -> None:
    """Write an output as JSON, with the side-car that `verify` needs."""
    write_json(path, value)
    write_sidecar(path)


def write_sidecar(path: Path) -> str:
    """Write `<path>.sha256` in the format of `sha256sum` and return the digest."""
    digest = sha256_of(path)
    write_text(sidecar_of(path), f"{digest}  {Path(path).name}\n")
    return digest


def read_sidecar(path: Path) -> str | None:
    """Return the digest recorded when `path` was written, or None where there is no side-car.

    Raises InputError for a side-car that does not begin with a sha256.
    """
    try:
        words = sidecar_of(path).read_bytes().split()
    except FileNotFoundError:
        return None
    if not words or not re.fullmatch(rb"[0-9a-f]{64}", words[0]):
        raise InputError(
            f"{sidecar_of(path)}: holds no sha256", remedy="delete it and run the stage that writes it again"
        )
    return words[0].decode()


def recorded_sha256(path: Path) -> str:
    """Return the digest of a file from its side-car, else computed: files of gigabytes are not read twice."""
    return read_sidecar(path) or sha256_of(path)


def verify(path: Path) -> str:
    """Check a file against its side-car and return its digest.

    Raises InputError where the file or its side-car is missing, or a single bit differs.
    """
    if not Path(path).exists():
        raise InputError(f"{path}: no such file", remedy="run the stage that writes it first")
    recorded, found = read_sidecar(path), sha256_of(path)
    if recorded is None:
        raise InputError(
            f"{path}: its side-car {sidecar_of(path).name} is missing", remedy="run the stage that writes it again"
        )
    if recorded != found:
        raise InputError(
            f"{path}: damaged (sha256 {found[:12]}, written as {recorded[:12]})", remedy="delete it and run again"
        )
    return found

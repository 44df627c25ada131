"""Read one regular file below a data set's folders, safely: an index is input like any other, and may name anything.

A path is relative to the data set's `root`. Links are followed as long as they stay below the root or lead into one of
`roots`, further folders that the user has named. A file that is not below the root is looked for below these folders,
under the same relative path: reports and images may be kept apart.
"""

import errno
import os
import stat
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal

from ..errors import InputError

Kind = Literal["unsafe_path", "link_leads_out", "missing", "not_regular", "unreadable", "too_large"]


class RootedFileError(Exception):
    """A file that is not read, and why: `kind`. The text never holds the path, which may contain a name."""

    def __init__(self, kind: Kind, detail: str = "") -> None:
        super().__init__(detail or kind.replace("_", " "))
        self.kind: Kind = kind


def check_folders(root: Path, roots: Sequence[Path] = ()) -> None:
    """Raise an InputError where the root, or a folder of `roots`, does not exist."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder", remedy="give the root of the data set with --root")
    for folder in roots:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder", remedy="correct `roots` of the data set (option --roots)")


def read_under(root: Path, relative: str, max_bytes: int, roots: tuple[Path, ...] = ()) -> bytes:
    """Return the bytes of the regular file `relative` ('/' between folders) below `root`, else below one of `roots`.

    A pipe is never waited on. Raises RootedFileError.
    """
    try:
        # O_NONBLOCK and the second check: what was a file a moment ago may be a pipe now.
        path = _locate(root, relative, roots)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as handle:
            status = os.fstat(descriptor)
            _check_regular(status)
            if status.st_size > max_bytes:
                raise RootedFileError("too_large", f"{status.st_size} bytes")
            data = handle.read(max_bytes + 1)
    except (OSError, RuntimeError) as error:
        raise _explained(error) from None
    if len(data) > max_bytes:
        raise RootedFileError("too_large", f"more than {max_bytes} bytes")
    return data


def find_under(root: Path, relative: str, roots: tuple[Path, ...] = ()) -> Path:
    """Return the real path of the file that `read_under` would read, without opening it. Raises RootedFileError."""
    try:
        return Path(_locate(root, relative, roots))
    except (OSError, RuntimeError) as error:
        raise _explained(error) from None


def _locate(root: Path, relative: str, roots: tuple[Path, ...]) -> str:
    pure = PurePosixPath(relative)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\0" in relative:
        raise RootedFileError("unsafe_path")
    missing: OSError | None = None
    for base in (root, *roots):
        try:
            folder = _folder_under(base, "/".join(pure.parts[:-1]), (root, *roots))
            path = f"{folder}/{pure.name}"
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                path = _real_path(base, str(pure), (root, *roots))
                status = os.lstat(path)
            _check_regular(status)
            return path
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = missing or error
    assert missing is not None
    raise missing


@lru_cache(4096)  # a patient's files lie in one folder, a thousand patients' folders in another
def _folder_under(base: Path, folder: str, allowed: tuple[Path, ...]) -> str:
    """Return the real path of a folder, links resolved; the disk is read once per level that is not known yet."""
    if not folder:
        return str(base)
    parent, _, name = folder.rpartition("/")
    path = f"{_folder_under(base, parent, allowed)}/{name}"
    return _real_path(base, folder, allowed) if stat.S_ISLNK(os.lstat(path).st_mode) else path


def _real_path(base: Path, relative: str, allowed: tuple[Path, ...]) -> str:
    real = (base / relative).resolve(strict=True)
    if not any(real.is_relative_to(folder.resolve()) for folder in allowed):
        raise RootedFileError("link_leads_out")
    return str(real)


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise RootedFileError("not_regular")


def _explained(error: OSError | RuntimeError) -> RootedFileError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return RootedFileError("missing")
    # RuntimeError: a loop of links, up to Python 3.12.
    return RootedFileError("unreadable", os.strerror(getattr(error, "errno", None) or errno.ELOOP))

"""Read one regular file below a data set's folders, safely: an index is input like any other, and may name anything.

A path is relative to the data set's `root`. Links are followed as long as they stay below the root or lead into one of
`roots`, further folders that the user has named. A file that is not below the root is looked for below these folders,
under the same relative path: reports and images may be kept apart. Any of these folders may be an archive, whose
members are read in place (archives.py).
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, NoReturn

from ..errors import InputError
from .archives import NAME_INSTEAD, Archive, MemberError, archive_at, is_dir, keep_indexes_in

Kind = Literal["unsafe_path", "link_leads_out", "missing", "not_regular", "unreadable", "too_large"]


class RootedFileError(Exception):
    """A file that is not read, and why: `kind`. The text never holds the path, which may contain a name."""

    def __init__(self, kind: Kind, detail: str = "") -> None:
        super().__init__(detail or kind.replace("_", " "))
        self.kind: Kind = kind


def check_folders(root: Path, roots: Sequence[Path] = (), private: Path | None = None) -> None:
    """Raise an InputError where the root, or a folder of `roots`, does not exist or is a damaged archive.

    What is found in archives is kept in the folder `private`, if one is given, for this process and later ones.
    """
    keep_indexes_in(private)
    for folder in (root, *roots):
        if not folder.exists() and is_dir(folder):
            what = f"{folder}: a folder within an archive cannot be a root"
            raise InputError(what, remedy="name the archive itself; paths and tables then begin with the folder")
    for folder in (root, *roots):
        if not is_dir(folder):
            if folder.is_file():
                raise InputError(f"{folder}: neither a folder nor an archive that is read", NAME_INSTEAD)
            raise InputError(
                f"{folder}: no such folder", f"correct `{'roots' if folder in roots else 'root'}` of the data set"
            )


def archive_warnings(root: Path, roots: Sequence[Path] = ()) -> list[str]:
    """Return lines about members of the archives among these folders that are not read."""
    return [line for base in (root, *roots) if (archive := archive_at(base)) for line in archive.warnings]


def read_under(root: Path, relative: str, max_bytes: int, roots: tuple[Path, ...] = ()) -> bytes:
    """Return the bytes of the regular file `relative` ('/' between folders) below `root`, else below one of `roots`.

    A pipe is never waited on. Raises RootedFileError.
    """
    try:
        # O_NONBLOCK and the second check: what was a file a moment ago may be a pipe now.
        path = _locate(root, relative, roots)
        if isinstance(path, _Packed):
            return path.archive.read(path.name, max_bytes)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as handle:
            status = os.fstat(descriptor)
            _check_regular(status)
            if status.st_size > max_bytes:
                raise RootedFileError("too_large", f"{status.st_size} bytes")
            data = handle.read(status.st_size + 1)  # a buffer of max_bytes would cost its page faults at each file
    except (OSError, RuntimeError, MemberError) as error:
        raise _explained(error) from None
    if len(data) > max_bytes:
        raise RootedFileError("too_large", f"more than {max_bytes} bytes")
    return data


def start_of(root: Path, relative: str, count: int, roots: tuple[Path, ...] = ()) -> bytes:
    """Return the first `count` bytes of the file that `read_under` would read. Raises RootedFileError."""
    try:
        path = _locate(root, relative, roots)
        if isinstance(path, _Packed):
            return path.archive.start_of(path.name, count)
        with Path(path).open("rb") as file:
            return file.read(count)
    except (OSError, RuntimeError, MemberError) as error:
        raise _explained(error) from None


def find_under(root: Path, relative: str, roots: tuple[Path, ...] = ()) -> Path:
    """Return the real path of the file that `read_under` would read, without opening it. Raises RootedFileError.

    The path of a member is that of its archive, then its own.
    """
    try:
        path = _locate(root, relative, roots)
    except (OSError, RuntimeError, MemberError) as error:
        raise _explained(error) from None
    return path.archive.path / path.name if isinstance(path, _Packed) else Path(path)


def files_below(
    root: Path,
    folder: str = ".",
    roots: tuple[Path, ...] = (),
    show: bool = True,
    visited: set[tuple[int, int]] | None = None,
) -> Iterator[str]:
    """Yield the path, relative to `root`, of every file below its `folder`, folder by folder in order of their names.

    Each folder is entered once, since links may form a loop; `visited` holds those entered before. Links are followed
    where files are read through them, which is into `root` and `roots`. Raises InputError for a folder that cannot be
    read, which it names if `show`.
    """
    if (archive := archive_at(root)) is not None:
        yield from archive.files(PurePosixPath(folder).as_posix())
        return
    allowed = [each.resolve() for each in (root, *roots)]
    visited = set() if visited is None else visited

    def refuse(error: OSError) -> NoReturn:
        named = error.filename if show else f"{root / folder}: a folder in it"
        raise InputError(f"{named}: cannot be read ({error.strerror})", remedy="let yourself read it (chmod)") from None

    def is_entered(path: Path) -> bool:
        return not path.is_symlink() or any(path.resolve().is_relative_to(each) for each in allowed)

    for directory, folders, names in os.walk(root / folder, onerror=refuse, followlinks=True):
        here = Path(directory)
        status = here.stat()
        identity = status.st_dev, status.st_ino
        if identity in visited:
            folders.clear()
            continue
        visited.add(identity)
        entered = [name for name in folders if is_entered(here / name)]
        folders[:] = sorted(entered, key=lambda name: ((here / name).is_symlink(), name))  # own names before others
        yield from (str(PurePosixPath(os.path.relpath(directory, root)) / name) for name in sorted(names))


class _Packed(NamedTuple):
    """A member of an archive."""

    archive: Archive
    name: str


def _locate(root: Path, relative: str, roots: tuple[Path, ...]) -> str | _Packed:
    pure = PurePosixPath(relative)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\0" in relative:
        raise RootedFileError("unsafe_path")
    missing: OSError | MemberError | None = None
    for base in (root, *roots):
        try:
            if (archive := _archive(base)) is not None:
                archive.find(str(pure))
                return _Packed(archive, str(pure))
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
        except MemberError as error:
            if error.kind != "missing":
                raise
            missing = missing or error
    assert missing is not None
    raise missing


def _archive(base: Path) -> Archive | None:
    try:
        return archive_at(base)
    except InputError:  # it was read when the job began
        raise RootedFileError("unreadable", "its archive was damaged or replaced") from None


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


def _explained(error: OSError | RuntimeError | MemberError) -> RootedFileError:
    if isinstance(error, MemberError):
        return RootedFileError(error.kind, str(error))
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return RootedFileError("missing")
    # RuntimeError: a loop of links, up to Python 3.12.
    return RootedFileError("unreadable", os.strerror(getattr(error, "errno", None) or errno.ELOOP))

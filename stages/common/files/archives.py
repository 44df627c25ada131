"""Archives in the place of folders: members of .zip, .tar, .tar.gz and .tgz files are read in place, never unpacked.

An archive stands for the folder that unpacking it would make, and `data.zip/images/1.png` is the path of a member. A
zip has a table of its members. A tar has none, so it is read once, from end to end. A gzip'ed tar also needs points
from which decompression can start (32 KiB each, at most about 1,000 per archive and factor of compression), which
`indexed-gzip` makes. What was found is kept as a file, where a folder is named for it (`keep_indexes_in`), so that
hundreds of jobs do not repeat it. Names of members may hold names of people: no message quotes one.
"""

import io
import stat
from functools import lru_cache
from pathlib import Path
from typing import IO

from ..errors import InputError, first_line
from .archive_members import BROKEN, Archive, MemberError
from .tar_archives import GzippedTar, Tar, keep_indexes_in
from .zip_archives import Zip

__all__ = ["Archive", "MemberError", "keep_indexes_in"]

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
_COMPRESSED = ("bz2", "xz", "zst", "lz", "lz4", "lzma", "z")
_UNREAD = (".7z", ".rar", ".tbz", ".tbz2", ".txz", ".tzst", ".tlz", *(f".tar.{each}" for each in _COMPRESSED))
_UNREAD_STARTS = (b"7z\xbc\xaf'\x1c", b"Rar!\x1a\x07", b"BZh", b"\xfd7zXZ\0", b"(\xb5/\xfd")  # 7z, rar, bz2, xz, zst
NAME_INSTEAD = f"extract or repack it, and name the folder or an archive that is read ({', '.join(SUFFIXES)})"
_LARGEST_TABLE = 2**33  # bytes that a table may have unpacked


def archive_at(path: Path) -> Archive | None:
    """Return the archive that the file `path` is, by its name; None for a folder or any other file.

    Raises InputError for a damaged or incomplete archive, and for one of a kind that is not read.
    """
    if not path.name.lower().endswith((*SUFFIXES, *_UNREAD)):
        return None
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    if path.name.lower().endswith(_UNREAD):
        raise _not_read(path)
    opened = _opened(path, status.st_size, status.st_mtime_ns)
    if isinstance(opened, InputError):
        raise opened.with_traceback(None)  # it would grow with each file that is asked for
    return opened


def is_archive(path: Path) -> bool:
    """Return whether a path is that of an archive; it is not opened."""
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def on_disk(path: Path) -> Path:
    """Return the archive on disk that a path leads into, or the path itself; nothing is opened."""
    return next((each for each in (path, *path.parents) if is_archive(each)), path)


def is_file(path: Path) -> bool:
    """Return whether a path is a file, on disk or in an archive."""
    if path.is_file():
        return True
    found = _inside(path)
    return found is not None and found[0].is_file(found[1])


def is_dir(path: Path) -> bool:
    """Return whether a path is a folder, on disk or in an archive; an archive itself is one."""
    if path.is_dir():
        return True
    found = _inside(path)
    return found is not None and (found[1] == "." or found[1] in found[0].folders)


def size_of(path: Path) -> int:
    """Return the size in bytes of a file that `is_file`."""
    found = None if path.is_file() else _inside(path)
    return path.stat().st_size if found is None else found[0].find(found[1]).size


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file, on disk or in an archive. Raises OSError."""
    found = None if path.is_file() else _inside(path)
    if found is None:
        return path.read_bytes()
    try:
        return found[0].read(found[1], _LARGEST_TABLE)
    except MemberError as error:
        raise OSError(None, str(error), str(path)) from None


def open_file(path: Path) -> IO[bytes]:
    """Open a file for reading, on disk or in an archive. Raises OSError."""
    return path.open("rb") if path.is_file() else io.BytesIO(read_bytes(path))


def names_in(folder: Path) -> list[str]:
    """Return the sorted names of the files directly in a folder, or on the top level of an archive."""
    if (archive := archive_at(folder)) is not None:
        return [name for name in archive.files() if "/" not in name]
    return sorted(each.name for each in folder.iterdir())


def others_of_this_name(path: Path) -> int:
    """Return how many files of an archive have the name of `path`, which is not there; 0 outside of archives."""
    found = _inside(path)
    return 0 if found is None else sum(name.rpartition("/")[2] == path.name for name in found[0].files())


def _inside(path: Path) -> tuple[Archive, str] | None:
    """Return the archive that a path leads into, and the rest of the path, "." for the archive itself."""
    for each in (path, *path.parents):
        if (archive := archive_at(each)) is not None:
            return archive, path.relative_to(each).as_posix()
    return None


def _not_read(path: Path) -> InputError:
    return InputError(f"{path}: archives of this kind are not read", NAME_INSTEAD)


@lru_cache(256)
def _opened(path: Path, size: int, changed: int) -> Archive | InputError:
    """Return the archive, or why it is none: it may have taken minutes to find that out, and is asked for again."""
    start = b""
    try:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"\x1f\x8b"):
            return GzippedTar(path, size, changed)
        if start.startswith(b"PK") or path.name.lower().endswith(".zip"):
            return Zip(path, size, changed)
        return Tar(path, size, changed)
    except BROKEN as error:
        if start.startswith(_UNREAD_STARTS):
            return _not_read(path)
        return InputError(
            f"{path}: cannot be read as an archive ({first_line(error)})",
            remedy="it is damaged or incomplete: download it again, or unpack it and name the folder",
        )

"""Archives in the place of folders: members of .zip, .tar, .tar.gz and .tgz files are read in place, never unpacked.

An archive stands for the folder that unpacking it would make, and `data.zip/images/1.png` is the path of a member. A
zip has a table of its members. A tar has none, so it is read once, from end to end. A gzip'ed tar also needs points
from which decompression can start (32 KiB each, at most about 1,000 per archive and factor of compression), which
`indexed-gzip` makes. What was found is kept as a file, where a folder is named for it (`keep_indexes_in`), so that
hundreds of jobs do not repeat it. Names of members may hold names of people: no message quotes one.
"""

import gzip
import hashlib
import io
import json
import os
import posixpath
import re
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from ..errors import InputError, first_line
from .atomic_files import atomic_path

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

_MOST_LINKS = 40  # as Linux follows
_LARGEST_TABLE = 2**33  # bytes that a table may have unpacked
_VERSION = 1  # of the kept index
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError,
           ValueError)  # fmt: skip

Problem = Literal["missing", "not_regular", "link_leads_out", "unreadable", "too_large"]


class MemberError(Exception):
    """A member that is not read, and why: `kind`. The text never holds its name."""

    def __init__(self, kind: Problem, detail: str = "") -> None:
        super().__init__(detail or kind.replace("_", " "))
        self.kind: Problem = kind


class Member(NamedTuple):
    """One entry of an archive: a file, a link to the member `target` (None: it leads out), or something else."""

    kind: Literal["file", "link", "other"]
    size: int = 0
    place: Any = None  # of a file: where its bytes are
    target: str | None = None
    problem: str = ""  # why a file cannot be read


def archive_at(path: Path) -> "Archive | None":
    """Return the archive that the file `path` is, by its name; None for a folder or any other file.

    Raises InputError for a damaged or incomplete archive.
    """
    if not path.name.lower().endswith(SUFFIXES):
        return None
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return _opened(path, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


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


def keep_indexes_in(folder: Path | None) -> None:
    """Keep what this process finds in archives below the private folder of the workspace; None: in memory alone."""
    global _kept_in
    _kept_in = None if folder is None else folder / "archives"


_kept_in: Path | None = None


def _inside(path: Path) -> "tuple[Archive, str] | None":
    """Return the archive that a path leads into, and the rest of the path, "." for the archive itself."""
    for each in (path, *path.parents):
        if (archive := archive_at(each)) is not None:
            return archive, path.relative_to(each).as_posix()
    return None


@lru_cache(256)
def _opened(path: Path, size: int, changed: int) -> "Archive":
    try:
        with path.open("rb") as file:
            start = file.read(2)
        if start == b"\x1f\x8b":
            return _GzippedTar(path, size, changed)
        if start == b"PK" or path.name.lower().endswith(".zip"):
            return _Zip(path, size, changed)
        return _Tar(path, size, changed)
    except _BROKEN as error:
        raise InputError(
            f"{path}: cannot be read as an archive ({first_line(error)})",
            remedy="it is damaged or incomplete: download it again, or unpack it and name the folder",
        ) from None


class Archive:
    """The members of one archive, by their path in it, and their bytes. Of members of one name, the last counts.

    Attributes:
        folders: the paths of all folders.
        warnings: what is not read, in lines without a member's name.
    """

    def __init__(self, path: Path, size: int, changed: int) -> None:
        self.path, self._bytes, self._changed = path, size, changed
        self._members: dict[str, Member] = {}
        self.folders: set[str] = set()
        self._left_out: Counter[str] = Counter()
        self._first: dict[str, int] = {}
        self._list()
        self.folders.update(folder for name in self._members for folder in _folders_above(name))
        self._has_links = any(each.kind == "link" for each in self._members.values())

    def find(self, name: str) -> Member:
        """Return a file by its path, links followed within the archive. Raises MemberError."""
        name = self._followed(name)
        member = self._members.get(name)
        if member is None:
            raise MemberError("not_regular" if name in self.folders or name == "." else "missing")
        if member.kind == "other":
            raise MemberError("not_regular")
        if member.problem:
            raise MemberError("unreadable", member.problem)
        return member

    def is_file(self, name: str) -> bool:
        """Return whether a path is that of a file, readable or not."""
        try:
            self.find(name)
        except MemberError as error:
            return error.kind == "unreadable"
        return True

    def read(self, name: str, max_bytes: int) -> bytes:
        """Return the bytes of a file. Raises MemberError, also where it is damaged."""
        member = self.find(name)
        if member.size > max_bytes:
            raise MemberError("too_large", f"{member.size} bytes")
        data = self._bytes_of(member, member.size + 1)  # to the end, where a checksum is compared
        if len(data) != member.size:
            raise MemberError("unreadable", "the archive ends within it")
        return data

    def start_of(self, name: str, count: int) -> bytes:
        """Return the first `count` bytes of a file. Raises MemberError."""
        return self._bytes_of(self.find(name), count)

    def _bytes_of(self, member: Member, count: int) -> bytes:
        try:
            return self._read(member, count)
        except _BROKEN as error:
            raise MemberError("unreadable", f"damaged in the archive ({type(error).__name__})") from None

    def files(self, folder: str = ".") -> Iterator[str]:
        """Yield the paths of the files below a folder, sorted."""
        below = "" if folder == "." else f"{folder}/"
        for name in sorted(self._members):
            if name.startswith(below) and self.is_file(name):
                yield name

    def _list(self) -> None:
        raise NotImplementedError

    def _read(self, member: Member, count: int) -> bytes:
        """Return at most the first `count` bytes of a file."""
        raise NotImplementedError

    def _add(self, number: int, name: str, member: Member | None) -> None:
        """Add the member `number` (from 1), or with None a folder, under its plain path."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        plain = "/".join(parts)
        if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:/", name):
            self._leave_out(number, "lead out of the archive (absolute, or with '..'): they are not read")
        elif not name.isprintable() and _is_undecoded(name):
            self._leave_out(number, "have names that are not UTF-8, which no table can name: they are not read")
        elif member is None:
            self.folders.update({plain, *_folders_above(plain)} if parts else ())
        else:
            if plain in self._members:
                self._leave_out(number, "repeat the name of another one: the last counts")
            self._members[plain] = member

    def _leave_out(self, number: int, why: str) -> None:
        self._left_out[why] += 1
        self._first.setdefault(why, number)

    @property
    def warnings(self) -> list[str]:
        """Return a line for each reason for which members are not read."""
        return [
            f"{self.path}: {count} of its members {why} (first: member {self._first[why]})"
            for why, count in self._left_out.items()
        ]

    def _followed(self, name: str) -> str:
        """Return the path behind links, of the member itself and of the folders above it."""
        if not self._has_links:
            return name
        for _ in range(_MOST_LINKS):
            for head in (*_folders_above(name), name):
                member = self._members.get(head)
                if member is not None and member.kind == "link":
                    if member.target is None:
                        raise MemberError("link_leads_out")
                    name = posixpath.normpath(member.target + name[len(head) :])
                    break
            else:
                return name
        raise MemberError("unreadable", "a loop of links")


def _folders_above(name: str) -> list[str]:
    """Return the folders above a path, the outermost first."""
    return [name[:place] for place, letter in enumerate(name) if letter == "/"]


def _link(name: str, target: str) -> Member:
    """Return a symbolic link, whose target is relative to its own folder."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(_without_dot(name)), target))
    leads_out = not target or path.startswith("/") or path.split("/")[0] == ".."
    return Member("link", target=None if leads_out else path)


def _without_dot(name: str) -> str:
    return posixpath.normpath(name)


def _is_undecoded(name: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in name)


_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_DOS, _UNIX = 0, 3  # systems on which a zip was made
_ENCRYPTED, _UTF_8 = 0x1, 0x800  # flags of a member


class _Zip(Archive):
    def _list(self) -> None:
        self._file = zipfile.ZipFile(self.path)
        for number, info in enumerate(self._file.infolist(), start=1):
            name = _name_in_zip(info)
            mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
            member: Member | None = Member("file", info.file_size, info, problem=_problem_in_zip(info))
            if name.endswith("/"):
                member = None
            elif stat.S_ISLNK(mode):
                member = self._link_in_zip(name, info)
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                member = Member("other")
            self._add(number, name, member)

    def _link_in_zip(self, name: str, info: zipfile.ZipInfo) -> Member:
        if info.file_size > 4096 or _problem_in_zip(info):
            return Member("other")
        with suppress(*_BROKEN):
            return _link(name, self._file.read(info).decode())
        return Member("other")

    def _read(self, member: Member, count: int) -> bytes:
        with self._file.open(member.place) as file:
            return file.read(count)


def _name_in_zip(info: zipfile.ZipInfo) -> str:
    """Return the name of a member: with '/' where it was made on Windows, as UTF-8 where its bytes are."""
    name = info.filename
    if not info.flag_bits & _UTF_8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/") if info.create_system == _DOS else name


def _problem_in_zip(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & _ENCRYPTED:
        return "it is encrypted in the archive: unpack that, or ask for one without a password"
    if info.compress_type not in _ZIP_METHODS:
        return f"the archive compresses it by a method that is not read ({info.compress_type}): unpack that"
    return ""


class _Tar(Archive):
    def _list(self) -> None:
        if not self._recall():
            self._scan()
            self._keep()

    def _scan(self) -> None:
        """Read every header. Raises ReadError where one is damaged, which tarfile takes for the end."""
        with self._stream() as stream, tarfile.open(fileobj=stream, mode="r:", encoding="utf-8") as tar:
            number = 0
            while (info := tar.next()) is not None:
                number += 1
                self._add(number, info.name, _tar_member(info))
                tar.members.clear()  # type: ignore[attr-defined]  # it would hold all of them
            stream.seek(tar.offset)
            if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise tarfile.ReadError(f"the header after member {number} is damaged")

    def _stream(self) -> Any:
        """Open the tar for one pass, as a binary file."""
        return self.path.open("rb")

    def _read(self, member: Member, count: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(member.place)
            return file.read(min(count, member.size))

    @property
    def _kept(self) -> Path | None:
        """Return the path, without suffix, of the kept index of just this file."""
        if _kept_in is None:
            return None
        named = f"{self.path.absolute()} {self._bytes} {self._changed} {_VERSION}"
        return _kept_in / hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def _recall(self) -> bool:
        """Read the kept index, and return whether there was one."""
        if self._kept is None:
            return False
        try:
            with gzip.open(f"{self._kept}.json.gz", "rt", encoding="ascii") as file:
                kept = json.load(file)
        except (OSError, ValueError, EOFError, zlib.error):
            return False
        self._members = {name: Member(*values) for name, values in kept["members"].items()}
        self.folders, self._left_out, self._first = set(kept["folders"]), Counter(kept["left_out"]), kept["first"]
        return True

    def _keep(self) -> None:
        """Write the index for other processes; where that fails, they make their own."""
        if self._kept is None:
            return
        kept = {"members": self._members, "folders": sorted(self.folders), "left_out": self._left_out,
                "first": self._first}  # fmt: skip
        self._write(".json.gz", gzip.compress(json.dumps(kept).encode("ascii")))

    def _write(self, suffix: str, data: bytes) -> None:
        assert self._kept is not None
        umask = os.umask(0o077)
        try:
            with suppress(OSError), atomic_path(Path(f"{self._kept}{suffix}"), output=False) as temporary:
                temporary.write_bytes(data)
        finally:
            os.umask(umask)


def _tar_member(info: tarfile.TarInfo) -> Member | None:
    if info.isdir():
        return None
    if info.issym():
        return _link(info.name, info.linkname)
    if info.islnk():  # to a member before it, by its path in the archive
        return _link("", info.linkname)
    if not info.isreg():
        return Member("other")
    problem = "it is stored with holes (a sparse file): unpack the archive" if info.issparse() else ""
    return Member("file", info.size, info.offset_data, problem=problem)


_MEBIBYTE = 2**20
_POINTS = 1024  # from which decompression can start, at most, per factor of compression


class _GzippedTar(_Tar):
    def _stream(self) -> Any:
        self._gzip.build_full_index()  # and compare the checksum of the whole
        return gzip.open(self.path)  # one pass is quicker than going from point to point

    def _read(self, member: Member, count: int) -> bytes:
        self._gzip.seek(member.place)
        return self._gzip.read(min(count, member.size))

    def _keep(self) -> None:
        if self._kept is not None:
            points = io.BytesIO()
            self._gzip.export_index(fileobj=points)
            self._write(".points", points.getvalue())
        super()._keep()

    @cached_property
    def _gzip(self) -> Any:
        """Return the decompressed file, in which any place can be read."""
        from indexed_gzip import IndexedGzipFile  # no other kind of archive needs it

        spacing = max(_MEBIBYTE, self._bytes // _POINTS)
        file = IndexedGzipFile(str(self.path), spacing=spacing, buffer_size=spacing)
        with suppress(OSError, ValueError):
            if self._kept is not None:
                file.import_index(f"{self._kept}.points")
        return file

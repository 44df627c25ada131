"""Members of an archive by their path in it: what they are, links between them, and what is not read, and why."""

import posixpath
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

_MOST_LINKS = 40  # as Linux follows
BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError,
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
    place: Any = None  # of a file: where its bytes are; of a link: its text, relative to its own folder
    target: str | None = None
    problem: str = ""  # why a file cannot be read


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
        self._filled: set[str] = set()  # folders above members
        self._has_links = False
        self._left_out: Counter[str] = Counter()
        self._first: dict[str, int] = {}
        self._notes: list[str] = []  # on the archive as a whole
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
        except BROKEN as error:
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
        """Add the member `number` (from 1), or with None a folder, where unpacking would put it."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        plain = self._placed("/".join(parts))
        if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:/", name):
            self._leave_out(number, "lead out of the archive (absolute, or with '..'): they are not read")
        elif not name.isprintable() and is_undecoded(name):
            self._leave_out(number, "have names that are not UTF-8, which no table can name: they are not read")
        elif plain is None:
            self._leave_out(number, "lie below links that lead out of the archive or in a loop: they are not read")
        elif member is not None and member.kind == "link" and plain in self._filled:
            self._leave_out(number, "are links in the place of a folder that has members: the folder counts")
        elif member is None:
            self._members.pop(plain, None)
            self._filled.update(_folders_above(plain))
            self.folders.update({plain, *_folders_above(plain)} if parts else ())
        else:
            if plain in self._members:
                self._leave_out(number, "repeat the name of another one: the last counts")
            self._filled.update(_folders_above(plain))
            if member.kind == "link":
                self._has_links = True
                member = member._replace(target=aim(plain, member.place))
            self._members[plain] = member

    def _placed(self, name: str) -> str | None:
        """Return a path with the links followed that the folders above it now are; None where they lead nowhere."""
        folder, _, own = name.rpartition("/")
        if not folder or not self._has_links:
            return name
        try:
            return posixpath.normpath(f"{self._followed(folder)}/{own}")
        except MemberError:
            return None

    def _leave_out(self, number: int, why: str) -> None:
        self._left_out[why] += 1
        self._first.setdefault(why, number)

    @property
    def warnings(self) -> list[str]:
        """Return a line for each reason for which members are not read, and on what is odd about the whole."""
        return [f"{self.path}: {note}" for note in self._notes] + [
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


def aim(name: str, target: str) -> str | None:
    """Return the path that the link `name` leads to; None where that is out of the archive."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    leads_out = not target or path.startswith("/") or path.split("/")[0] == ".."
    return None if leads_out else path


def is_undecoded(name: str) -> bool:
    """Return whether a name is not UTF-8 (os.fsdecode made halves of characters of it), which no table can store."""
    return any("\ud800" <= letter <= "\udfff" for letter in name)

"""Members of a .tar or .tar.gz, which is read once from end to end; what was found is kept as a file."""

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections import Counter
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from .archive_members import Archive, Member, aim
from .atomic_files import atomic_path, private_files

_VERSION = 2  # of the kept index
_CLOSING = 2  # blocks of zeros that end a tar


def keep_indexes_in(folder: Path | None) -> None:
    """Keep what this process finds in archives below the private folder of the workspace; None: in memory alone."""
    global _kept_in
    _kept_in = None if folder is None else folder / "archives"


_kept_in: Path | None = None


class Tar(Archive):
    """The members of a .tar."""

    def _list(self) -> None:
        if not self._recall():
            self._scan()
            self._keep()

    def _scan(self) -> None:
        """Read every header, and what follows the last member."""
        with self._stream() as stream, tarfile.open(fileobj=stream, mode="r:", encoding="utf-8") as tar:
            number = 0
            while (info := tar.next()) is not None:
                number += 1
                if not info.islnk():
                    self._add(number, info.name, _tar_member(info))
                elif linked := self._linked(info.linkname):
                    self._add(number, info.name, linked)
                else:
                    self._leave_out(number, "are hard links to no member before them: they are not read")
                tar.members.clear()  # type: ignore[attr-defined]  # it would hold all of them
            stream.seek(tar.offset)
            self._check_end(stream, number)

    def _linked(self, target: str) -> Member | None:
        """Return what a hard link is another name of: the member that now has that path, and may be replaced later."""
        path = aim("", target)
        return Member("link", place="") if path is None else self._members.get(self._placed(path) or "")

    def _check_end(self, stream: Any, number: int) -> None:
        """Read what follows the last member `number`, to the end of the file: gzip's checksum is compared there.

        Raises ReadError where it is a damaged header, which tarfile takes for the end, and EOFError for a gzip'ed file
        that was cut off.
        """
        closing, more = 0, False
        try:
            for block in iter(lambda: stream.read(tarfile.BLOCKSIZE), b""):
                if not block.strip(b"\0"):
                    closing += not more and len(block) == tarfile.BLOCKSIZE
                elif closing:
                    more = True
                else:
                    raise tarfile.ReadError(f"the header after member {number} is damaged")
        except gzip.BadGzipFile:  # no wrong checksum, which the full index has refused, but no gzip at all
            more = True
        if more:
            self._notes.append(
                f"more data follow the end of the archive, after its member {number}: they are not read; if members "
                "are missing, pack it anew"
            )
        elif closing < _CLOSING:
            self._notes.append(
                f"it may be cut off after its member {number}: the two empty blocks that end a tar are missing; if "
                "members are missing, download it again"
            )

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
        self._notes = kept["notes"]
        return True

    def _keep(self) -> None:
        """Write the index for other processes; where that fails, they make their own."""
        if self._kept is None:
            return
        kept = {"members": self._members, "folders": sorted(self.folders), "left_out": self._left_out,
                "first": self._first, "notes": self._notes}  # fmt: skip
        self._write(".json.gz", gzip.compress(json.dumps(kept).encode("ascii")))

    def _write(self, suffix: str, data: bytes) -> None:
        assert self._kept is not None
        path = Path(f"{self._kept}{suffix}")
        with suppress(OSError), private_files(), atomic_path(path, output=False) as temporary:
            temporary.write_bytes(data)


def _tar_member(info: tarfile.TarInfo) -> Member | None:
    if info.isdir():
        return None
    if info.issym():
        return Member("link", place=info.linkname)
    if not info.isreg():
        return Member("other")
    problem = "it is stored with holes (a sparse file): unpack the archive" if info.issparse() else ""
    return Member("file", info.size, info.offset_data, problem=problem)


_MEBIBYTE = 2**20
_POINTS = 1024  # from which decompression can start, at most, per factor of compression


class GzippedTar(Tar):
    """The members of a .tar.gz, with points from which decompression can start."""

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

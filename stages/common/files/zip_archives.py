"""Members of a .zip, which has a table of them."""

import stat
import zipfile
from contextlib import suppress

from .archive_members import BROKEN, Archive, Member

_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_DOS, _UNIX = 0, 3  # systems on which a zip was made
_ENCRYPTED, _UTF_8 = 0x1, 0x800  # flags of a member


class Zip(Archive):
    """The members of a .zip."""

    def _list(self) -> None:
        self._file = zipfile.ZipFile(self.path)
        for number, info in enumerate(self._file.infolist(), start=1):
            name = _name_in_zip(info)
            mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
            member: Member | None = Member("file", info.file_size, info, problem=_problem_in_zip(info))
            if name.endswith("/"):
                member = None
            elif stat.S_ISLNK(mode):
                member = self._link_in_zip(info)
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                member = Member("other")
            self._add(number, name, member)

    def _link_in_zip(self, info: zipfile.ZipInfo) -> Member:
        if info.file_size > 4096 or _problem_in_zip(info):
            return Member("other")
        with suppress(*BROKEN):
            return Member("link", place=self._file.read(info).decode())
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

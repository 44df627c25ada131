"""Reports of the Open-i chest radiographs as a table, from the archive of XML files in which they are distributed.

Demner-Fushman et al., JAMIA 23:304, 2016: 3,955 reports with 7,470 images, from openi.nlm.nih.gov (NLMCXR_reports.tgz,
NLMCXR_png.tgz), under CC BY-NC-ND 4.0. Ids of patients are not distributed; every report has a patient of its own.
"""

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import polars as pl

from ..errors import InputError
from ..files.archives import open_file

COLUMNS = ("image", "report", "findings", "impression", "indication", "comparison", "caption", "mesh")
_LARGEST = 1_000_000  # bytes of a report; the longest distributed one has 20,000
_SECTIONS = ("findings", "impression", "indication", "comparison")


def is_openi(path: Path) -> bool:
    """Return whether a table's name is that of an archive of reports."""
    return path.name.lower().endswith((".tgz", ".tar.gz"))


def read_openi(path: Path) -> pl.DataFrame:
    """Return a row per image, in the order of reports and of their images, with `COLUMNS` as text.

    `mesh` are the major headings, e.g. `Pleural Effusion/right/small`, cut to their first part and separated by `|`. A
    report without image has no row. Raises InputError where a member is no such report.
    """
    rows = [row for name, text in _members(path) for row in _rows(path, name, text)]
    if not rows:
        remedy = "a table that is an archive is Open-i's NLMCXR_reports.tgz, as it is distributed; name a CSV otherwise"
        raise InputError(f"{path}: holds no report with an image", remedy)
    return pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with open_file(path) as packed, tarfile.open(fileobj=packed) as archive:
            for member in archive:
                hidden = member.name.rpartition("/")[2].startswith(".")  # as macOS writes beside each file
                if member.isfile() and member.name.lower().endswith(".xml") and not hidden:
                    if member.size > _LARGEST:
                        raise InputError(f"{path}: {member.name} has {member.size:,} bytes", "it is no report")
                    file = archive.extractfile(member)
                    assert file is not None, "it is a file"
                    yield member.name, file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: not readable as an archive ({type(error).__name__})", "download it again") from None


def _rows(path: Path, name: str, text: bytes) -> Iterator[tuple[str | None, ...]]:
    try:
        report = ElementTree.fromstring(text)  # noqa: S314 - expat bounds what entities expand to
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # an encoding that nobody knows
        raise InputError(f"{path}: {name} is no XML ({error})", "download the archive again") from None
    identity = report.find("uId")
    if identity is None or not identity.get("id"):
        raise InputError(f"{path}: {name} has no uId: it is no report of Open-i", "remove it from the archive")
    sections: dict[str, str] = {}
    for each in report.iter("AbstractText"):
        label = (each.get("Label") or "").lower()
        sections[label] = " ".join(filter(None, (sections.get(label), "".join(each.itertext()))))
    captions = {each.get("id"): each.findtext("caption") for each in report.iter("parentImage")}
    headings = dict.fromkeys((each.text or "").split("/")[0].strip() for each in report.iter("major"))
    for image, caption in captions.items():
        told = (sections.get(section) for section in _SECTIONS)
        yield image, identity.get("id"), *told, caption, "|".join(filter(None, headings))

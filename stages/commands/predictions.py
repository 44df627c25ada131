"""Answers for many radiographs as a table: files found, columns, and the form of the output."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.data.distributions import IMAGE_SUFFIXES
from ..common.errors import InputError
from ..common.wording import counted

if TYPE_CHECKING:
    from ..api.models import Answer

COLUMNS = ("image", "class", "probability", "cosine", "error")
_START = 256  # bytes of a file that tell what it is
FORMS = (".csv", ".json", ".parquet")


def files_of(named: Sequence[Path], output: Path | None = None) -> list[Path]:
    """Return the files that were named, and the images at any depth in folders that were, in order of their names.

    Links are followed. Hidden files are left out of folders, and so is `output`, the table of an earlier call. Other
    files that are no images are told on standard error. Raises InputError for a folder that cannot be read or has no
    image.
    """
    found: list[Path] = []
    for path in named:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(each for each in _below(path) if output is None or _real(each) != _real(output))
        images = [each for each in inside if _is_image(each)]
        others = sorted(set(inside) - set(images))
        first = f" (first: {str(others[0])!r})" if others else ""
        if not images:
            what = f"none of {counted(len(others), 'file')} is an image{first}" if others else "no file in it"
            raise InputError(f"{path}: {what}", "name a folder of DICOM, JPEG or PNG files")
        if others:
            print(f"{path}: left out as no image: {counted(len(others), 'file')}{first}", file=sys.stderr)
        found += images
    return found


def _is_image(path: Path) -> bool:
    """Return whether a file has the ending of an image, or begins as one, whatever its name.

    True for one that cannot be opened, too, so that its row says so.
    """
    from ..common.radiographs.readers import is_dicom, is_raster  # takes time, and --help does not need them

    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with path.open("rb") as handle:
            start = handle.read(_START)
    except OSError:
        return True
    return is_raster(start) or is_dicom(start)


def _real(path: Path) -> str:
    """Return where a path leads; `Path.resolve` raises where links lead in a circle."""
    return os.path.realpath(path)


def _below(top: Path) -> Iterator[Path]:
    """Yield the files below a folder, and links that lead nowhere, which then have a row that says so."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})", "allow it, or name other folders")

    seen = set()
    for folder, folders, files in os.walk(top, onerror=refuse, followlinks=True):
        place = Path(folder)
        seen.add(_real(place))
        folders[:] = [each for each in folders if not each.startswith(".") and _real(place / each) not in seen]
        paths = (place / each for each in files if not each.startswith("."))
        yield from (each for each in paths if each.is_file() or (each.is_symlink() and not each.exists()))


def check_form(path: Path) -> None:
    """Raise InputError where the name of an output says no form that can be written."""
    if path.suffix.lower() not in FORMS:
        raise InputError(f"--output {path}: no known form", f"use a name that ends in {', '.join(FORMS)}")


def rows_of(answers: Iterable["Answer"]) -> list[dict[str, Any]]:
    """Return a row for each image and class; an image that could not be read has one row, with the reason."""
    rows: list[dict[str, Any]] = []
    for each in answers:
        image = _encodable(each.image)
        if each.error:
            rows.append(dict.fromkeys(COLUMNS) | {"image": image, "error": _encodable(each.error)})
        rows += [dict(zip(COLUMNS, (image, name, share, each.cosines[name], None), strict=True))
                 for name, share in each.probabilities.items()]  # fmt: skip
    return rows


def _encodable(text: str) -> str:
    """Return a text that UTF-8 can hold: a file's name may be any bytes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_rows(rows: Sequence[dict[str, Any]], output: Path | None) -> None:
    """Write the rows in the form that the output's name says; without one, print them as CSV."""
    import polars as pl  # imported here, because it takes time and --help does not need it

    types = {name: pl.Float64 if name in ("probability", "cosine") else pl.String for name in COLUMNS}
    table = pl.DataFrame(rows, types)
    if output is None:
        sys.stdout.write(table.write_csv())
        return
    from ..common.files.atomic_files import atomic_path

    write: dict[str, Callable[[Path], object]]
    write = {".csv": table.write_csv, ".json": table.write_json, ".parquet": table.write_parquet}
    with atomic_path(output) as temporary:
        write[output.suffix.lower()](temporary)

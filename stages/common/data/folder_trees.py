"""The rows of a `folder` data set: those of its table, or without a table those that a pattern reads off the paths.

A tree says by its folders and names what a table would say in columns. Every image file whose whole path fits the
pattern is a row; its columns are `path` and the named groups. Rows are numbered in the order of the paths.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import polars as pl

from ..errors import InputError
from ..files.archive_members import is_undecoded
from ..files.archives import is_dir
from ..files.rooted_files import RootedFileError, files_below, start_of
from .distributions import IMAGE_SUFFIXES, WHERE_TO_GET, name_in
from .index_tables import only_rows, read_index, refuse_lacking_columns
from .own_tables import PATH, OwnTables
from .table_files import ROW

_MARK = 128  # bytes before the mark DICM (PS3.10 7.1)


@dataclass(frozen=True)
class OwnRows:
    """The rows of a data set of one's own, `ROW` and text columns, and what was found beside them."""

    table: pl.DataFrame
    counts: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read_rows(root: Path, settings: OwnTables, columns: Mapping[str, str], roots: tuple[Path, ...] = ()) -> OwnRows:
    """Return the rows of the table of `root`, or of the images below `root` and `roots` that fit `tree`.

    `columns` must be there; they map to the keys that name them. Raises InputError, which quotes a path only where the
    settings show ids.
    """
    if settings.tree is None:
        assert settings.table is not None, "the settings' validator saw to it"
        name = name_in(root, settings.table)
        table = read_index(root, name, columns, WHERE_TO_GET["folder"], settings.show, settings.own_format)
        return OwnRows(only_rows(table, settings.only_rows, root / name, settings.show))
    pattern = re.compile(settings.tree)
    fitting, others, repeated = _fitting(root, pattern, settings.show, roots)
    first = f", first {others[0]}" if others and settings.show else ""
    if not fitting:
        what = f"none of {len(others)} image files fits `tree`{first}" if others else "no image file below it"
        raise InputError(
            f"{root}: {what}", remedy="correct `tree`, which describes a whole path, or the data set's root"
        )
    names = [PATH, *pattern.groupindex]
    rows = [(path, *(fitting[path].group(name) for name in names[1:])) for path in sorted(fitting)]
    table = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row").with_row_index(ROW, offset=1)
    groups = pl.col(names[1:]).str.strip_chars()
    table = table.with_columns(pl.when(groups != "").then(groups))
    refuse_lacking_columns(root, table, columns, settings.show, settings.own_format)
    table = only_rows(table, settings.only_rows, root, settings.show)
    warnings = []
    if others:
        warnings.append(f"{root}: {len(others)} image files do not fit `tree`{first}: they are not read")
    if repeated:
        warnings.append(f"{root}: {repeated} files of `roots` have the path of another one: the first is read")
    return OwnRows(table, {"files_unlike_tree": len(others)} if others else {}, warnings)


def _fitting(
    root: Path, pattern: re.Pattern[str], show: bool, roots: tuple[Path, ...]
) -> tuple[dict[str, re.Match[str]], list[str], int]:
    """Return path -> match of the images that fit, the other images, and how many have the path of one before."""
    fitting: dict[str, re.Match[str]] = {}
    others: dict[str, None] = {}
    repeated, visited = 0, set[tuple[int, int]]()
    for base in (root, *roots):
        if not is_dir(base):
            raise InputError(f"{base}: no such folder", remedy="correct the data set's root or `roots`")
        for path in files_below(base, ".", (root, *roots), show, visited):
            if not _may_be_image(path):
                continue
            match = pattern.fullmatch(path)
            if path in fitting or path in others:
                repeated += 1
            elif match is not None and _is_image(base, path, (root, *roots)):
                fitting[path] = match
            elif PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES:
                others[path] = None
    return fitting, sorted(others), repeated


def _may_be_image(path: str) -> bool:
    """Return whether a path is that of no hidden file, such as macOS writes beside each file of an archive."""
    parts = PurePosixPath(path).parts
    return not any(part.startswith(".") or part == "__MACOSX" for part in parts) and not is_undecoded(path)


def _is_image(base: Path, path: str, roots: tuple[Path, ...]) -> bool:
    """Return whether a file has the ending of an image, or as DICOM files often have no ending, and their mark."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix and not suffix[1:].isdigit():  # the last number of a UID looks like an ending
        return False
    try:
        return start_of(base, path, _MARK + 4, roots)[_MARK:] == b"DICM"
    except RootedFileError:
        return False

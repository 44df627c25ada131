"""The column of a table that names the images, the folder below which they lie, and patients within their paths."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ..common.data.distributions import IMAGE_SUFFIXES
from ..common.data.table_files import ROW
from ..common.errors import InputError

LOOKED_AT = 500  # rows whose files are looked for
_FOLDERS = 100  # below the root, in which paths are tried
# The last such part of a path: MIMIC-CXR's p10/p10000032/s50414267 has the patient behind a folder of many.
_PATIENT = re.compile(r"^(?:.*/)?(patient|patid|pat|subject|subj|sub|person|p)([-_]?)\d+[/_-]", re.IGNORECASE)
_STUDY = re.compile(r"^(?:.*/)?(study|exam|session|ses|s)([-_]?)\d+[/_-]", re.IGNORECASE)
_NUMBER = re.compile(r"^\d+(?=[_-]\d+\.\w+$)")  # NIH: 00000001_000.png


@dataclass(frozen=True)
class Images:
    """The column that names images, and how many of the `looked_for` files exist below `folder`."""

    column: str
    files: int
    looked_for: int
    folder: Path
    by_name: bool = False  # they lie in folders that the cells do not name


def images_of(
    table: pl.DataFrame, root: Path, path: Path, twice: Iterable[str] = (), among: Sequence[str] | None = None
) -> Images:
    """Return the column with most existing images below `root`. Raises InputError where there is none with a name.

    `twice` are names that several columns have, which `table` lacks; `among` are the columns to look at [all].
    """
    below = sorted(each for each in root.iterdir() if each.is_dir())[:_FOLDERS] if root.is_dir() else []
    columns = {name: [cell for cell in table[name].head(LOOKED_AT).to_list() if cell]
               for name in among or sorted(table.columns, key=lambda name: name == "") if name != ROW}  # fmt: skip
    best: tuple[int, Images] | None = None
    without_ending = ""
    for name, cells in columns.items():
        for folder in [root, *below]:
            found = [cell for cell in cells if _is_file(folder / cell)]
            # a column of few files, e.g. of one table for all rows, names no images
            if found and (best is None or len(set(found)) > best[0]):
                best = len(set(found)), Images(name, len(found), len(cells), folder)
            if not found and cells and (ending := _ending_of(folder / cells[0])):
                without_ending = f"; {name} names files in {folder} without their ending {ending}: add it"
    files = _files_by_name(root)
    for name, cells in columns.items():
        found = [] if _are_plain_numbers(cells) else [cell for cell in cells if files.get(cell) == 1]
        if 2 * len(found) > len(cells) and (best is None or len(set(found)) > best[0]):
            best = len(set(found)), Images(name, len(found), len(cells), root, by_name=True)
    if best is None:
        several = "".join(f"; several columns are named {name or 'nothing'}: rename them" for name in twice)
        raise InputError(
            f"{path}: no column names images below {root}{without_ending}{several}",
            remedy="name the images' folder with --root: a column must hold their paths relative to it, with the "
            "files' endings, or the names of the files",
        )
    if not best[1].column:
        raise InputError(
            f"{path}: the column that names the images has no name in the header",
            remedy="name it there, e.g. image; pandas writes its index without name",
        )
    if any(os.path.isabs(cell) for cell in columns[best[1].column]):  # noqa: PTH117 - of a cell
        raise InputError(
            f"{path}: {best[1].column} holds absolute paths",
            remedy="write them relative to the folder that you name with --root, so that the table can move with it",
        )
    return best[1]


def ids_in_paths(cells: pl.Series) -> tuple[str | None, str | None]:
    """Return the patterns of patients and of studies that every path has, each with one group, or None."""
    paths = [each or "" for each in cells]

    def ids(found: re.Pattern[str]) -> str | None:
        matches = [found.search(each) for each in paths]
        words = {match[1] + match[2] for match in matches if match}
        return rf"{words.pop()}\d+" if all(matches) and len(words) == 1 else None

    patient, study = ids(_PATIENT), ids(_STUDY)
    if patient is None:
        return (r"^(\d+)[_-]" if all(map(_NUMBER.search, paths)) else None), None
    within = f"{patient}/{study}"  # studies are often numbered by patient
    study = within if study and all(re.search(f"{within}[/_-]", each) for each in paths) else study
    return tuple(rf"^(?:.*/)?({each})[/_-]" if each else None for each in (patient, study))  # type: ignore[return-value]


def is_image_file(cell: str, folders: tuple[Path, ...], ending: str) -> bool:
    """Return whether a cell names an existing file with an ending below one of the folders."""
    return cell.lower().endswith(ending) and any(_is_file(folder / cell) for folder in folders)


def names_masks(table: pl.DataFrame, name: str, images: Images, root: Path) -> bool:
    """Return whether a column names PNG files, and not those of the images themselves."""
    rows = table.filter(pl.col(name).is_not_null()).head(50).select(name, images.column).rows()
    folders = (images.folder, root)
    return bool(rows) and all(
        is_image_file(cell, folders, ".png")
        and (images.folder / (image or "")) not in [each / cell for each in folders]
        for cell, image in rows
    )


def _files_by_name(root: Path) -> dict[str, int]:
    """Return how many image files below `root` have each name, with and without its ending."""
    names: dict[str, int] = {}
    for _, _, files in os.walk(root):
        for file in files:
            stem, ending = os.path.splitext(file)  # noqa: PTH122 - of strings; millions of them
            if ending.lower() in IMAGE_SUFFIXES:
                names[file] = names.get(file, 0) + 1
                names[stem] = names.get(stem, 0) + 1
    return names


def _are_plain_numbers(cells: list[str]) -> bool:
    """Return whether cells are numbers of rows, or ages and the like, which may be names of files by chance."""
    if not cells or not all(cell.isdecimal() and len(cell) < 5 for cell in cells):
        return False
    first = int(cells[0])
    return 2 * len(set(cells)) < len(cells) or cells == [str(first + place) for place in range(len(cells))]


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - unlike pathlib's, it raises no error: a cell may be a whole report


def _ending_of(path: Path) -> str | None:
    return next((ending for ending in IMAGE_SUFFIXES if _is_file(path.with_name(path.name + ending))), None)

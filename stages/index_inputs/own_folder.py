"""Reader of a folder, anyone's own data: a table with a row per image, and columns for what is known about it."""

import re
from pathlib import Path, PurePosixPath

import polars as pl

from ..common.data.distributions import IMAGE_SUFFIXES, name_in, not_there
from ..common.data.folder_trees import read_rows
from ..common.data.index_tables import (
    NO_VALUE,
    REPORT_COLUMNS,
    Index,
    plain_paths,
    refuse_unsafe_paths,
    require_values,
)
from ..common.data.own_tables import names_of
from ..common.data.patient_split import PART_NAMES
from ..common.data.table_files import ROW
from ..common.errors import InputError
from ..common.files.archives import is_archive, is_dir
from ..common.files.rooted_files import files_below
from .contract import FolderColumns, IndexInputsSettings
from .patient_columns import ages_of, sexes_of


def read_folder(root: Path, settings: IndexInputsSettings, roots: tuple[Path, ...] = ()) -> Index:
    """Read files and reports of the user's table or tree.

    Raises InputError where rows of one study differ in their report.

    Rows that repeat an image and agree in all that is read are one image: tables with a row per finding have them.
    """
    columns = settings.columns
    assert columns is not None, "the settings' validator saw to it"
    table = name_in(root, settings.table) if settings.table else ""
    source, own = root / table, read_rows(root, settings, settings.named_columns(), roots)
    rows = own.table.with_columns(plain_paths(columns.image))  # before it is an id: one file is one image
    ids = [columns.image, columns.image_id, columns.patient, *names_of(columns.study)]
    require_values(rows, source, [name for name in ids if name])
    image_id = pl.col(columns.image_id or columns.image)
    ages, implausible = ages_of(rows, settings, source)
    files = rows.select(
        ROW,
        image_id=image_id,
        study_id=_study(rows, columns, source) if columns.study else image_id,
        patient_id=_within(rows, columns.patient, columns.patient_pattern, source),
        path=found_by_name(rows, columns.image, root, settings, roots),
        view=_joined(columns.view_columns),
        distributed_split=_parts(rows, columns.split, source),
        inverted=_inverted(rows, settings, source),
        sex=sexes_of(rows, settings, source),
        age=ages,
        report=_report(columns.report),
        report_file=_optional(columns.report_file),
    )
    refuse_unsafe_paths(files["report_file"], files[ROW], source)
    _refuse_divided_patients(files, source, settings.show)
    images = files.unique([name for name in files.columns if name != ROW], keep="first", maintain_order=True)
    counts = {"repeated_rows": len(files) - len(images)} if len(files) > len(images) else {}
    tags = {"licenses": _counted(rows[columns.license])} if columns.license else {}
    return Index(
        table,
        images.drop("report", "report_file"),
        _reports(images, source, columns),
        counts=counts | own.counts,
        tags=tags,
        warnings=[
            *own.warnings,
            *implausible,
            *_identical_rows(own.table, source, settings),
            *_blank_reports(images, source, settings),
        ],
    )


def _identical_rows(table: pl.DataFrame, source: Path, settings: IndexInputsSettings) -> list[str]:
    """Return a warning where whole rows repeat earlier ones; rows of a box or a finding each differ somewhere."""
    if settings.tree is not None or settings.distribution is not None:
        return []
    again = table.filter(~pl.struct(pl.exclude(ROW)).is_first_distinct())[ROW]
    if not len(again):
        return []
    return [f"{source}: {len(again)} rows are identical to earlier ones, first row {again[0]}; each is read once"]


def _blank_reports(images: pl.DataFrame, source: Path, settings: IndexInputsSettings) -> list[str]:
    """Return a warning where the table has reports, and an image's study has none."""
    assert settings.columns is not None
    if settings.distribution is not None or not (settings.columns.report or settings.columns.report_file):
        return []
    text = pl.coalesce("report", "report_file")
    has_report = text.is_not_null() & ~text.str.strip_chars().str.to_lowercase().is_in(NO_VALUE)
    blank = images.filter(~has_report.any().over("study_id")).sort(ROW)[ROW]
    if not len(blank):
        return []
    what = f"{len(blank)} of {len(images)} images have no report, first row {blank[0]}"
    return [f"{source}: {what}; they are left out of pre-training"]


def _study(rows: pl.DataFrame, columns: FolderColumns, source: Path) -> pl.Expr | pl.Series:
    """Return the ids of studies, which several columns may tell together."""
    if isinstance(columns.study, list):  # escaped, so that ("a b", "c") is not ("a", "b c")
        parts = [pl.col(name).str.replace_all(r"([\\/])", r"\$1") for name in columns.study]
        return pl.concat_str(parts, separator="/")
    return _within(rows, columns.study, columns.study_pattern, source)


def _within(rows: pl.DataFrame, column: str | None, pattern: str | None, source: Path) -> pl.Expr | pl.Series:
    """Return the ids of a column, or what the group of a pattern finds within its cells.

    Raises InputError for a cell in which it finds nothing.
    """
    if column is None or pattern is None:
        return _optional(column)
    found = [re.search(pattern, cell) for cell in rows[column]]
    lost = [row for row, match in zip(rows[ROW], found, strict=True) if match is None or not (match[1] or "").strip()]
    if lost:
        raise InputError(
            f"{source}: row {lost[0]}: {pattern!r} finds nothing in {column} ({len(lost)} such)",
            remedy="correct `columns.patient_pattern` or `columns.study_pattern`",
        )
    return pl.Series([match[1].strip() for match in found if match is not None], dtype=pl.String)


def _parts(rows: pl.DataFrame, column: str | None, source: Path) -> pl.Expr | pl.Series:
    """Return the part of each row under its plain name. Raises InputError for a cell that names none."""
    if column is None:
        return pl.lit(None, pl.String)
    cells = rows[column].str.to_lowercase()
    unknown = rows.filter(cells.is_not_null() & ~cells.is_in(list(PART_NAMES)))[ROW]
    if len(unknown):
        raise InputError(
            f"{source}: row {unknown[0]}: {column} names no part ({len(unknown)} such rows)",
            remedy="write train, validation or test, or leave it blank",
        )
    return cells.replace_strict(PART_NAMES, return_dtype=pl.String)


def _refuse_divided_patients(files: pl.DataFrame, source: Path, show: bool) -> None:
    """Raise an InputError for a patient with two parts, or with one in some rows only: the others go by a hash."""
    part = pl.col("distributed_split").fill_null("no part")
    divided = files.filter(part.n_unique().over("patient_id") > 1)
    if len(divided):
        own = divided.filter(pl.col("patient_id") == divided["patient_id"][0]).select(ROW, part)
        (row, one), (other_row, other) = own.unique("distributed_split", keep="first", maintain_order=True).rows()[:2]
        named = f"patient {divided['patient_id'][0]}" if show else "one patient"
        count = divided["patient_id"].n_unique()
        raise InputError(
            f"{source}: rows {row} and {other_row}: {named} is in {one} and in {other} ({count} such)",
            remedy="put all images of a patient into one part, or remove `columns.split`",
        )


def _inverted(rows: pl.DataFrame, settings: IndexInputsSettings, source: Path) -> pl.Expr | pl.Series:
    """Return whether each image is inverted; null for a blank cell. Raises InputError for a cell without meaning."""
    assert settings.columns is not None
    column = settings.columns.inverted
    if column is None:
        return pl.lit(None, pl.Boolean)
    lists = {False: settings.upright_values, True: settings.inverted_values}
    meanings = {cell.strip().lower(): meaning for meaning, cells in lists.items() for cell in cells}
    cells = rows[column].str.to_lowercase()
    unknown = rows.filter(cells.is_not_null() & ~cells.is_in(list(meanings)))
    if len(unknown):
        row, cell = unknown.select(ROW, column).row(0)
        said = repr(cell) if settings.show else "none of inverted_values and upright_values"
        raise InputError(
            f"{source}: row {row}: {column} is {said} ({len(unknown)} such rows)",
            remedy="correct it, or add it to inverted_values or upright_values",
        )
    return cells.replace_strict(meanings, return_dtype=pl.Boolean)


def found_by_name(
    rows: pl.DataFrame, column: str, root: Path, settings: IndexInputsSettings, roots: tuple[Path, ...]
) -> pl.Expr | pl.Series:
    """Return the paths of the images; with `find_images_in`, of the files that have their names.

    Names that no file below the root has are looked for below `roots`. A name that no file has stays as it is, so that
    the image is accounted for as missing. Raises InputError for one that several files have, and where none is found.
    """
    if settings.find_images_in is None:
        return pl.col(column)
    if not any(is_dir(base / settings.find_images_in) for base in (root, *roots)):
        raise not_there(root / settings.find_images_in, "no such folder", "correct `find_images_in`")
    files = _files_by_name(root, settings.find_images_in, roots, settings.show)
    source, paths = root / str(settings.table), []
    for row, cell in zip(rows[ROW], rows[column], strict=True):
        named = files.get(cell, [])
        if len(named) > 1:
            which = f": {named[0]} and {named[1]}" if settings.show else ""
            raise InputError(
                f"{source}: row {row}: {len(named)} files have the name in {column}{which}",
                remedy="narrow `find_images_in`, or write the ending",
            )
        paths.append(named[0] if named else cell)
    if not any(cell in files for cell in rows[column]):
        packed = sorted(each.name for each in root.iterdir() if is_archive(each)) if root.is_dir() else []
        hint = f"; there is {packed[0]}: name archives of images in the data set's `roots`" if packed else ""
        raise InputError(
            f"{source}: no file below {root / settings.find_images_in} has a name in {column}",
            remedy=f"correct `find_images_in` or `columns.image`{hint}",
        )
    return pl.Series(paths, dtype=pl.String)


def _files_by_name(root: Path, folder: str, roots: tuple[Path, ...], show: bool) -> dict[str, list[str]]:
    """Return the paths of all files by name, with and without the ending of an image; those of the root go first."""
    found: tuple[dict[str, list[str]], dict[str, list[str]]] = {}, {}
    visited: set[tuple[int, int]] = set()
    for base in (root, *roots):
        if not is_dir(base / folder):
            continue
        files = found[base is root]
        for path in map(PurePosixPath, files_below(base, folder, (root, *roots), show, visited)):
            stems = [path.stem] if path.suffix.lower() in IMAGE_SUFFIXES else []
            for name in (path.name, *stems):  # DICOM files often have no ending
                if str(path) not in (paths := files.setdefault(name, [])):
                    paths.append(str(path))
    return found[False] | found[True]


def _joined(columns: list[str]) -> pl.Expr:
    """Return the texts of several columns with blanks between them; null where all are."""
    text = pl.concat_str([pl.col(column) for column in columns], separator=" ", ignore_nulls=True) if columns else None
    return pl.lit(None, pl.String) if text is None else pl.when(text != "").then(text)


def _report(column: str | dict[str, str] | None) -> pl.Expr:
    """Return the text of a report; several columns are its sections, each under its header. Null where all are."""
    if not isinstance(column, dict):
        return _optional(column)
    sections = [pl.lit(f"{section.upper()}: ") + pl.col(name) for section, name in column.items()]
    text = pl.concat_str(sections, separator="\n\n", ignore_nulls=True)
    return pl.when(text != "").then(text)


def _optional(column: str | None) -> pl.Expr:
    return pl.col(column) if column else pl.lit(None, pl.String)


def _reports(files: pl.DataFrame, source: Path, columns: FolderColumns) -> pl.DataFrame:
    """Return one row per study that has a report. Raises InputError for a study with two different reports."""
    reports = files.select(
        ROW, "study_id", "patient_id", "distributed_split", path="report_file", text="report"
    ).filter(pl.col("path").is_not_null() | pl.col("text").is_not_null())
    reports = reports.unique(REPORT_COLUMNS, keep="first", maintain_order=True)
    clash = reports.filter(pl.col("study_id").is_duplicated())
    if len(clash):
        first = clash.filter(pl.col("study_id") == clash["study_id"][0])[ROW]
        same, act = "have the same study", "give the images different studies"
        if columns.study is None:  # each image is its own study
            same, act = "name the same image", "keep one of them"
        what = f"{source}: rows {first[0]} and {first[1]} {same} but different reports or patients"
        raise InputError(what, f"correct them, or {act}")
    return reports.select(REPORT_COLUMNS)


def _counted(values: pl.Series) -> str:
    counts = values.fill_null("not stated").value_counts(sort=True).rows()
    return "; ".join(f"{value}: {count}" for value, count in sorted(counts, key=lambda item: (-item[1], item[0])))

"""Readers of the index of each layout: MIMIC-CXR, RSNA, SIIM, a folder.

MIMIC-CXR and MIMIC-CXR-JPG have 377,110 images of 227,835 studies of 65,379 patients (Johnson et al., Sci. Data 6:317,
2019; physionet.org/content/mimic-cxr and /mimic-cxr-jpg, credentialed access). MIMIC-CXR lists its files in
cxr-record-list.csv.gz and its reports in cxr-study-list.csv.gz. MIMIC-CXR-JPG has no list of files: their paths follow
from the ids of the metadata. Its reports are those of MIMIC-CXR, put into its tree.

The two challenges from Kaggle have labelled images without reports; patients are unknown unless a table names them.
RSNA Pneumonia Detection Challenge 2018 (Shih et al., Radiology: AI 1:e180041, 2019): 26,684 images, 30,227 rows, one
per box; `patientId` is one per image. SIIM-ACR Pneumothorax Segmentation 2019 (Filice et al., J. Digit. Imaging 33:490,
2020): 12,047 images, 12,954 rows, one per region. Both hold images of NIH ChestX-ray14, where patients recur.

A folder is anyone's own data: one CSV with one row per image, and columns for what is known about it.
"""

import re
from pathlib import Path, PurePosixPath

import polars as pl

from ..common.data.distributions import (
    CHALLENGE_TABLES,
    IMAGE_FOLDERS,
    MIMIC_METADATA,
    MIMIC_RECORDS,
    MIMIC_SPLIT,
    MIMIC_STUDIES,
    WHERE_TO_GET,
    is_mimic_jpg,
    mimic_suffixes,
    name_in,
    not_there,
    unused_tables,
)
from ..common.data.folder_trees import IMAGE_SUFFIXES, read_rows
from ..common.data.index_tables import (
    REPORT_COLUMNS,
    Index,
    plain_paths,
    read_index,
    read_patients,
    refuse_duplicates,
    refuse_unsafe_paths,
    require_values,
)
from ..common.data.table_files import ROW
from ..common.errors import InputError
from ..common.files.archives import is_dir, is_file
from ..common.files.rooted_files import files_below
from .contract import IndexInputsSettings
from .views import with_views


def read_folder(root: Path, settings: IndexInputsSettings, roots: tuple[Path, ...] = ()) -> Index:
    """Read files and reports of the user's table or tree.

    Raises InputError where rows of one study differ in their report.

    Rows that repeat an image and agree in all that is read are one image: tables with a row per finding have them.
    """
    table, columns = settings.table or "", settings.columns
    assert columns is not None, "the settings' validator saw to it"
    source = root / table
    own = read_rows(root, settings, columns.names(), roots)
    rows = own.table.with_columns(plain_paths(columns.image))  # before it is an id: one file is one image
    ids = [columns.image, columns.image_id, columns.patient, columns.study]
    require_values(rows, source, [name for name in ids if name])
    image_id = pl.col(columns.image_id or columns.image)
    files = rows.select(
        ROW,
        image_id=image_id,
        study_id=_within(rows, columns.study, columns.study_pattern, source) if columns.study else image_id,
        patient_id=_within(rows, columns.patient, columns.patient_pattern, source),
        path=found_by_name(rows, columns.image, root, settings, roots),
        view=_joined(columns.view_columns),
        distributed_split=pl.lit(None, pl.String),
        report=_optional(columns.report),
        report_file=_optional(columns.report_file),
    )
    refuse_unsafe_paths(files["report_file"], files[ROW], source)
    images = files.unique([name for name in files.columns if name != ROW], keep="first", maintain_order=True)
    counts = {"repeated_rows": len(files) - len(images)} if len(files) > len(images) else {}
    tags = {"licenses": _counted(rows[columns.license])} if columns.license else {}
    return Index(
        table,
        images.drop("report", "report_file"),
        _reports(images, source),
        counts=counts | own.counts,
        tags=tags,
        warnings=own.warnings,
    )


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
        raise InputError(
            f"{source}: no file below {root / settings.find_images_in} has a name in {column}",
            remedy="correct `find_images_in` or `columns.image`",
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


def _optional(column: str | None) -> pl.Expr:
    return pl.col(column) if column else pl.lit(None, pl.String)


def _reports(files: pl.DataFrame, source: Path) -> pl.DataFrame:
    """Return one row per study that has a report. Raises InputError for a study with two different reports."""
    reports = files.select(
        ROW, "study_id", "patient_id", "distributed_split", path="report_file", text="report"
    ).filter(pl.col("path").is_not_null() | pl.col("text").is_not_null())
    reports = reports.unique(REPORT_COLUMNS, keep="first", maintain_order=True)
    clash = reports.filter(pl.col("study_id").is_duplicated())
    if len(clash):
        first = clash.filter(pl.col("study_id") == clash["study_id"][0])[ROW]
        raise InputError(
            f"{source}: rows {first[0]} and {first[1]} have the same study but different reports or patients",
            remedy="correct them, or give the images different studies",
        )
    return reports.select(REPORT_COLUMNS)


def _counted(values: pl.Series) -> str:
    counts = values.fill_null("not stated").value_counts(sort=True).rows()
    return "; ".join(f"{value}: {count}" for value, count in sorted(counts, key=lambda item: (-item[1], item[0])))


_IMAGE_COLUMNS = {"rsna": "patientId", "siim": "ImageId"}


def read_challenge(root: Path, settings: IndexInputsSettings, roots: tuple[Path, ...] = ()) -> Index:
    """Return the images of the table of RSNA or SIIM, with the paths at which they are found below its folder.

    One that is not found keeps the path `<folder>/<id>.dcm`, so that dicom_to_arrow accounts for it; files that the
    table does not name are counted. Links are followed into `roots`, too. Raises InputError where the folder holds
    images, but none of the table's.
    """
    layout, show, unknown = settings.layout, settings.show, pl.lit(None, pl.String)
    name, folder = name_in(root, CHALLENGE_TABLES[layout]), IMAGE_FOLDERS[layout]
    images = _images_of(root, name, _IMAGE_COLUMNS[layout], WHERE_TO_GET[layout])
    on_disk = _walk(root, folder, roots, show)
    found = images.join(on_disk, on="image_id", how="left", maintain_order="left")
    if len(on_disk) and found["path"].null_count() == len(found):
        row, image = images.row(0)
        named = f"row {row} names {image}.dcm" if show else f"see row {row}"
        raise InputError(
            f"{root / folder}: {len(on_disk)} images, none of which {root / name} names ({named})",
            remedy="put table and images of the same stage of the challenge together",
        )
    patients: pl.Expr | pl.Series = unknown
    warnings: list[str] = []
    if settings.patients is not None:
        table, warnings = read_patients(root, settings.patients, show, settings.own_format)
        patients = _patients_of(images["image_id"], table, root / settings.patients, show)
    files = found.with_columns(
        path=pl.col("path").fill_null(pl.format(f"{folder}/{{}}.dcm", pl.col("image_id"))),
        study_id=pl.col("image_id"),
        patient_id=patients,
        view=unknown,
        distributed_split=unknown,
    )
    unlisted = len(on_disk.join(images, on="image_id", how="anti"))
    return Index(name, files, counts={"files_not_in_index": unlisted}, warnings=warnings)


def _images_of(root: Path, name: str, column: str, where_to_get: str) -> pl.DataFrame:
    """Return the distinct images of a table with several rows per image, with the first row of each."""
    table = read_index(root, name, [column], where_to_get)
    require_values(table, root / name, [column])
    return table.select(ROW, image_id=pl.col(column)).unique("image_id", keep="first", maintain_order=True)


def _patients_of(images: pl.Series, table: pl.DataFrame, source: Path, show: bool) -> pl.Series:
    """Return the patient of each image. Raises InputError where one has none."""
    joined = pl.DataFrame({"image_id": images}).join(table, on="image_id", how="left", maintain_order="left")
    unknown = joined.filter(pl.col("patient_id").is_null())["image_id"]
    if len(unknown):
        raise InputError(
            f"{source}: no patient for {f'image {unknown[0]}' if show else 'an image'} ({len(unknown)} such)",
            remedy="add rows, or set `patients` to null",
        )
    return joined["patient_id"]


def _walk(root: Path, folder: str, roots: tuple[Path, ...], show: bool) -> pl.DataFrame:
    """Return image_id (the file's name without suffix) and path of every image file below `folder`.

    Raises InputError where two files of one kind have one name, or a folder cannot be read.
    """
    found: dict[str, tuple[int, str]] = {}
    for path in map(PurePosixPath, files_below(root, folder, roots, show)):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        this = IMAGE_SUFFIXES.index(path.suffix.lower()), str(path)
        other = found.setdefault(path.stem, this)
        if other != this and other[0] == this[0]:
            named = f"{other[1]} and {path}" if show else f"below {folder} two files have one name: they"
            raise InputError(f"{root}: {named} are two files with one image id", remedy="keep one of them")
        found[path.stem] = min(other, this)
    paths = [path for _, path in found.values()]
    return pl.DataFrame({"image_id": list(found), "path": paths}, schema={"image_id": pl.String, "path": pl.String})


_IDS = ["subject_id", "study_id", "dicom_id"]
_RENAMED = {"dicom_id": "image_id", "subject_id": "patient_id"}

# files/p10/p10000032/s50414267: the study's folder; its report has the same name with .txt.
_STUDY_FOLDER = pl.format(
    "files/p{}/p{}/s{}", pl.col("subject_id").str.head(2), pl.col("subject_id"), pl.col("study_id")
)


def read_mimic_cxr(root: Path, show: bool) -> Index:
    """Read files and reports, with splits and views where their tables exist; errors may quote values if `show`."""
    jpg = is_mimic_jpg(root)
    source = name_in(root, MIMIC_METADATA if jpg else MIMIC_RECORDS)
    files = _read(root, source, _IDS if jpg else [*_IDS, "path"])
    if jpg:
        files = files.with_columns(path=pl.format("{}/{}.jpg", _STUDY_FOLDER, pl.col("dicom_id")))
    refuse_duplicates(files, root / source, "dicom_id", show)
    files = _with(files, root, name_in(root, MIMIC_SPLIT), ("split", "distributed_split"), show)
    files = with_views(_with(files, root, name_in(root, MIMIC_METADATA), ("ViewPosition", "view"), show), root)
    reports = _read_reports(root, files, jpg, show)
    tags = {"format": "jpg" if jpg else "dicom"}
    return Index(source, files.rename(_RENAMED), reports, tags=tags, warnings=_what_is_not_read(root, jpg))


def _what_is_not_read(root: Path, jpg: bool) -> list[str]:
    unused = unused_tables(root)
    lines = [f"{root}: not read: {', '.join(unused)}"] if unused else []
    if not jpg and len(mimic_suffixes(root)) > 1:
        lines.append(f"{root}: holds DICOM and JPG files, read as DICOM; to read JPG move {MIMIC_RECORDS} away")
    return lines


def _read(root: Path, name: str, columns: list[str]) -> pl.DataFrame:
    table = read_index(root, name, columns, WHERE_TO_GET["mimic_cxr"])
    require_values(table, root / name, columns)
    return table.select(ROW, *columns)


def _with(files: pl.DataFrame, root: Path, name: str, names: tuple[str, str], show: bool) -> pl.DataFrame:
    """Add a column (its name there, and here) of an optional table by dicom_id; null without table or row."""
    column, renamed = names
    if not is_file(root / name):
        return files.with_columns(pl.lit(None, pl.String).alias(renamed))
    table = read_index(root, name, ["dicom_id", column]).select(ROW, "dicom_id", pl.col(column).alias(renamed))
    refuse_duplicates(table, root / name, "dicom_id", show)
    return files.join(table.drop(ROW), on="dicom_id", how="left", maintain_order="left")


def _read_reports(root: Path, files: pl.DataFrame, jpg: bool, show: bool) -> pl.DataFrame:
    splits = files.group_by("study_id").agg(
        pl.col("distributed_split").drop_nulls().unique().alias("splits"), pl.col("subject_id").first()
    )
    mixed = splits.filter(pl.col("splits").list.len() > 1)["study_id"].sort()
    if len(mixed):
        named = f"study {mixed[0]}" if show else f"a study ({len(mixed)} such)"
        raise InputError(
            f"{root / name_in(root, MIMIC_SPLIT)}: {named} is in more than one split", remedy="download the file again"
        )
    splits = splits.with_columns(distributed_split=pl.col("splits").list.first())
    listed = name_in(root, MIMIC_STUDIES)
    if jpg and not is_file(root / listed):
        studies = splits.with_columns(path=pl.format("{}.txt", _STUDY_FOLDER))
    else:
        studies = _read(root, listed, ["subject_id", "study_id", "path"])
        refuse_duplicates(studies, root / listed, "study_id", show)
        refuse_unsafe_paths(studies["path"], studies[ROW], root / listed)
        studies = studies.join(splits.select("study_id", "distributed_split"), on="study_id", how="left")
    return studies.with_columns(text=pl.lit(None, pl.String)).rename(_RENAMED, strict=False).select(REPORT_COLUMNS)

"""Readers of the index of each distributed layout: MIMIC-CXR, RSNA, SIIM. A user's own table: own_folder.py.

MIMIC-CXR and MIMIC-CXR-JPG have 377,110 images of 227,835 studies of 65,379 patients (Johnson et al., Sci. Data 6:317,
2019; physionet.org/content/mimic-cxr and /mimic-cxr-jpg, credentialed access). MIMIC-CXR lists its files in
cxr-record-list.csv.gz and its reports in cxr-study-list.csv.gz. MIMIC-CXR-JPG has no list of files: their paths follow
from the ids of the metadata. Its reports are those of MIMIC-CXR, put into its tree.

The two challenges from Kaggle have labelled images without reports; patients are unknown unless a table names them.
RSNA Pneumonia Detection Challenge 2018 (Shih et al., Radiology: AI 1:e180041, 2019): 26,684 images, 30,227 rows, one
per box; `patientId` is one per image. SIIM-ACR Pneumothorax Segmentation 2019 (Filice et al., J. Digit. Imaging 33:490,
2020): 12,047 images, 12,954 rows, one per region. Both hold images of NIH ChestX-ray14, where patients recur.
"""

from pathlib import Path, PurePosixPath

import polars as pl

from ..common.data.distributions import (
    CHALLENGE_TABLES,
    IMAGE_FOLDERS,
    IMAGE_SUFFIXES,
    MIMIC_METADATA,
    MIMIC_RECORDS,
    MIMIC_SPLIT,
    MIMIC_STUDIES,
    WHERE_TO_GET,
    is_mimic_jpg,
    mimic_suffixes,
    name_in,
    unused_tables,
)
from ..common.data.index_tables import (
    REPORT_COLUMNS,
    Index,
    read_index,
    read_patients,
    refuse_duplicates,
    refuse_unsafe_paths,
    require_values,
)
from ..common.data.table_files import ROW
from ..common.errors import InputError
from ..common.files.archives import is_file
from ..common.files.rooted_files import files_below
from .contract import IndexInputsSettings
from .views import with_views

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
        inverted=pl.lit(None, pl.Boolean),
        sex=unknown,
        age=pl.lit(None, pl.Float64),
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
    files = files.rename(_RENAMED).with_columns(
        inverted=pl.lit(None, pl.Boolean), sex=pl.lit(None, pl.String), age=pl.lit(None, pl.Float64)
    )
    return Index(source, files, reports, tags=tags, warnings=_what_is_not_read(root, jpg))


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

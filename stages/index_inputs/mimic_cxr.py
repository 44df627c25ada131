"""MIMIC-CXR and MIMIC-CXR-JPG: 377,110 images of 227,835 studies of 65,379 patients.

Johnson et al., Sci. Data 6:317 (2019); physionet.org/content/mimic-cxr and /mimic-cxr-jpg, credentialed access.
MIMIC-CXR lists its files in cxr-record-list.csv.gz and its reports in cxr-study-list.csv.gz. MIMIC-CXR-JPG has no
list of files: their paths follow from the ids of the metadata. Its reports are those of MIMIC-CXR, put into its tree.
"""

from pathlib import Path

import polars as pl

from stages.common.distributions import (
    MIMIC_METADATA,
    MIMIC_RECORDS,
    MIMIC_SPLIT,
    MIMIC_STUDIES,
    WHERE_TO_GET,
)
from stages.common.errors import InputError
from stages.common.index_tables import (
    REPORT_COLUMNS,
    Index,
    read_index,
    refuse_duplicates,
    refuse_unsafe_paths,
    require_values,
)
from stages.index_inputs.layouts import is_mimic_jpg

_IDS = ["subject_id", "study_id", "dicom_id"]
_RENAMED = {"dicom_id": "image_id", "subject_id": "patient_id"}

# files/p10/p10000032/s50414267: the study's folder; its report has the same name with .txt
_STUDY_FOLDER = pl.format(
    "files/p{}/p{}/s{}", pl.col("subject_id").str.head(2), pl.col("subject_id"), pl.col("study_id")
)


def read_mimic_cxr(root: Path, show: bool) -> Index:
    """Files and reports; the split and the views where their tables lie beside the list. `show`: errors may quote."""
    jpg = is_mimic_jpg(root)
    source = MIMIC_METADATA if jpg else MIMIC_RECORDS
    files = _read(root, source, _IDS if jpg else [*_IDS, "path"])
    if jpg:
        files = files.with_columns(path=pl.format("{}/{}.jpg", _STUDY_FOLDER, pl.col("dicom_id")))
    refuse_duplicates(files, root / source, "dicom_id", show)
    files = _with(files, root, MIMIC_SPLIT, ("split", "distributed_split"), show)
    files = _with(files, root, MIMIC_METADATA, ("ViewPosition", "view"), show)
    reports = _read_reports(root, files, jpg, show)
    return Index(source, files.rename(_RENAMED), reports, tags={"format": "jpg" if jpg else "dicom"})


def _read(root: Path, name: str, columns: list[str]) -> pl.DataFrame:
    table = read_index(root, name, columns, WHERE_TO_GET["mimic_cxr"])
    require_values(table, root / name, columns)
    return table


def _with(files: pl.DataFrame, root: Path, name: str, names: tuple[str, str], show: bool) -> pl.DataFrame:
    """Add a column (its name there, and here) of an optional table by dicom_id; null without table or row."""
    column, renamed = names
    if not (root / name).is_file():
        return files.with_columns(pl.lit(None, pl.String).alias(renamed))
    table = read_index(root, name, ["dicom_id", column]).select("row", "dicom_id", pl.col(column).alias(renamed))
    refuse_duplicates(table, root / name, "dicom_id", show)
    return files.join(table.drop("row"), on="dicom_id", how="left", maintain_order="left")


def _read_reports(root: Path, files: pl.DataFrame, jpg: bool, show: bool) -> pl.DataFrame:
    splits = files.group_by("study_id").agg(
        pl.col("distributed_split").drop_nulls().unique().alias("splits"), pl.col("subject_id").first()
    )
    mixed = splits.filter(pl.col("splits").list.len() > 1)["study_id"].sort()
    if len(mixed):
        named = f"study {mixed[0]}" if show else f"a study ({len(mixed)} such)"
        raise InputError(f"{root / MIMIC_SPLIT}: {named} is in more than one split; get the file again")
    splits = splits.with_columns(distributed_split=pl.col("splits").list.first())
    if jpg and not (root / MIMIC_STUDIES).is_file():
        studies = splits.with_columns(path=pl.format("{}.txt", _STUDY_FOLDER))
    else:
        studies = _read(root, MIMIC_STUDIES, ["subject_id", "study_id", "path"])
        refuse_duplicates(studies, root / MIMIC_STUDIES, "study_id", show)
        refuse_unsafe_paths(studies["path"], studies["row"], root / MIMIC_STUDIES)
        studies = studies.join(splits.select("study_id", "distributed_split"), on="study_id", how="left")
    return studies.with_columns(text=pl.lit(None, pl.String)).rename(_RENAMED, strict=False).select(REPORT_COLUMNS)

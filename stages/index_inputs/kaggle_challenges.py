"""The two challenges from Kaggle: labelled images without reports, patients unknown unless a table names them.

RSNA Pneumonia Detection Challenge 2018 (Shih et al., Radiology: AI 1:e180041, 2019): 26,684 images, 30,227 rows, a row
a box; `patientId` is one per image. SIIM-ACR Pneumothorax Segmentation 2019 (Filice et al., J. Digit. Imaging 33:490,
2020): 12,047 images, 12,954 rows, a row a region. Both hold images of NIH ChestX-ray14, where people recur.
"""

import os
from pathlib import Path, PurePosixPath

import polars as pl

from stages.common.distributions import RSNA_LABELS, SIIM_RUN_LENGTHS, WHERE_TO_GET
from stages.common.errors import InputError
from stages.common.index_tables import Index, read_index, read_patients, require_values
from stages.index_inputs.layouts import IMAGE_FOLDERS


def read_rsna(root: Path, patients: str | None, show: bool) -> Index:
    """Images of stage_2_train_labels.csv; the file of an image bears its id."""
    images = _images_of(root, RSNA_LABELS, "patientId", WHERE_TO_GET["rsna"])
    files = images.with_columns(path=pl.format(f"{IMAGE_FOLDERS['rsna']}/{{}}.dcm", pl.col("image_id")))
    return Index(RSNA_LABELS, _with_patients(files, root, patients, show))


def read_siim(root: Path, patients: str | None, show: bool) -> Index:
    """Images of train-rle.csv, each where a walk through dicom-images-train finds it.

    One that is not there keeps the path `dicom-images-train/<ImageId>.dcm`, so that dicom_to_arrow accounts for it;
    files that the table does not name are counted.
    """
    images = _images_of(root, SIIM_RUN_LENGTHS, "ImageId", WHERE_TO_GET["siim"])
    on_disk = _walk(root, IMAGE_FOLDERS["siim"], show)
    files = images.join(on_disk, on="image_id", how="left", maintain_order="left").with_columns(
        pl.col("path").fill_null(pl.format(f"{IMAGE_FOLDERS['siim']}/{{}}.dcm", pl.col("image_id")))
    )
    unlisted = on_disk.join(images, on="image_id", how="anti")
    return Index(
        SIIM_RUN_LENGTHS, _with_patients(files, root, patients, show), counts={"files_not_in_index": len(unlisted)}
    )


def _images_of(root: Path, name: str, column: str, where_to_get: str) -> pl.DataFrame:
    """The distinct images of a table with several rows an image, with the first row of each."""
    table = read_index(root, name, [column], where_to_get)
    require_values(table, root / name, [column])
    return table.select("row", pl.col(column).alias("image_id")).unique("image_id", keep="first", maintain_order=True)


def _with_patients(files: pl.DataFrame, root: Path, patients: str | None, show: bool) -> pl.DataFrame:
    unknown = pl.lit(None, pl.String)
    return files.with_columns(
        study_id=pl.col("image_id"),
        patient_id=unknown if patients is None else read_patients(root, patients, files["image_id"], show),
        view=unknown,
        distributed_split=unknown,
    )


def _walk(root: Path, folder: str, show: bool) -> pl.DataFrame:
    """image_id (the file's name without .dcm) and path of every DICOM file below `folder`."""
    found: dict[str, str] = {}
    for directory, folders, names in os.walk(root / folder):
        folders.sort()
        for name in sorted(names):
            if not name.endswith(".dcm"):
                continue
            path = PurePosixPath(os.path.relpath(directory, root)) / name
            other = found.setdefault(name.removesuffix(".dcm"), str(path))
            if other != str(path):
                named = f"{other} and {path}" if show else f"below {folder} two files have one name: they"
                raise InputError(f"{root}: {named} are two files of one image; keep one of them")
    return pl.DataFrame({"image_id": list(found), "path": list(found.values())}, schema_overrides=_TEXT)


_TEXT = {"image_id": pl.String, "path": pl.String}

"""Layouts that are read as distributed: the names of their files, which of them are there, and where to get them.

Imports no table library, because the workflow reads the names from here to declare its inputs.
"""

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Literal

from ..errors import InputError
from ..files.archives import SUFFIXES, is_file, names_in, open_file, others_of_this_name

Layout = Literal["mimic_cxr", "rsna", "siim", "folder"]

MIMIC_RECORDS = "cxr-record-list.csv.gz"
MIMIC_STUDIES = "cxr-study-list.csv.gz"
MIMIC_METADATA = "mimic-cxr-2.0.0-metadata.csv.gz"
MIMIC_SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
RSNA_LABELS = "stage_2_train_labels.csv"
SIIM_RUN_LENGTHS = "train-rle.csv"
CHECKSUMS = "SHA256SUMS.txt"  # of PhysioNet's distributions; of your own data if you write one (sha256sum)

# Suffixes of image files, in lower case; where an image has several files, the first suffix holds.
IMAGE_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg")

# The table of the two challenges, which names images as well as labels.
CHALLENGE_TABLES: dict[Layout, str] = {"rsna": RSNA_LABELS, "siim": SIIM_RUN_LENGTHS}

# The folder that holds the images; `folder` data sets name theirs in the table.
IMAGE_FOLDERS: dict[Layout, str] = {
    "mimic_cxr": "files",
    "rsna": "stage_2_train_images",
    "siim": "dicom-images-train",
}

WHERE_TO_GET: dict[Layout, str] = {
    "mimic_cxr": "it comes with MIMIC-CXR or MIMIC-CXR-JPG from PhysioNet (physionet.org/content/mimic-cxr)",
    "rsna": "it comes with the RSNA Pneumonia Detection Challenge from Kaggle (rsna-pneumonia-detection-challenge)",
    "siim": "it comes with the SIIM-ACR Pneumothorax Segmentation from Kaggle (siim-acr-pneumothorax-segmentation)",
    "folder": "correct `table` of the data set, or its root",
}

# Files that users have instead of the one that a layout reads.
_RENAMED = {SIIM_RUN_LENGTHS: "stage_2_train.csv"}


def name_in(root: Path | None, name: str) -> str:
    """Return `name` of a distribution's file, or its form with or without .gz if only that one is in `root`."""
    other = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
    return other if root is not None and not is_file(root / name) and is_file(root / other) else name


def not_there(path: Path, what: str, remedy: str) -> InputError:
    """Return the error for a missing file or folder: its path as given, where that leads, and what lies beside it."""
    resolved = Path(path).resolve()
    leads = "" if resolved == path else f" (looked for {resolved})"
    if any(part.startswith("~") for part in path.parts):
        remedy = f"`~` is not expanded, write the folder out; {remedy}"
    packed = [f"{path.name}{suffix}" for suffix in SUFFIXES]
    beside = [name for name in (*packed, _RENAMED.get(path.name, "")) if name and (path.parent / name).is_file()]
    if beside:
        act = f"copy it to {path.name}, its images below {IMAGE_FOLDERS['siim']}"
        if beside[0] in packed:
            act = "unpack it" if path.suffix else "name it as `root` or in `roots`, it is read in place"
        remedy = f"there is {beside[0]}: {act}; {remedy}"
    elif near := _near_name(path):
        remedy = f"there is {near}: name it instead, if it is meant; {remedy}"
    if namesakes := others_of_this_name(path):
        where = "a file of this name lies" if namesakes == 1 else f"{namesakes} files of this name lie"
        remedy = f"{where} in another folder of the archive: write its whole path; {remedy}"
    return InputError(f"{path}: {what}{leads}", remedy)


def _near_name(path: Path) -> str:
    """Return the name of a file that lies where `path` should, and is called almost like it; empty where none is."""
    try:
        names = [each.name for each in path.parent.iterdir() if each.suffix == path.suffix]
    except OSError:
        return ""
    return next(iter(get_close_matches(path.name, names, 1, 0.8)), "")


def is_mimic_jpg(root: Path) -> bool:
    """Return whether a root is MIMIC-CXR-JPG: it has the metadata, and no record list or only JPG files.

    Either tree may hold a copy of the other's tables.
    """
    if not is_file(root / name_in(root, MIMIC_METADATA)):
        return False
    return not is_file(root / name_in(root, MIMIC_RECORDS)) or mimic_suffixes(root) == {".jpg"}


def mimic_suffixes(root: Path, studies: int = 20) -> set[str]:
    """Return which of .dcm and .jpg MIMIC-CXR's tree holds: of the files listed first, else of its first studies.

    Both are asked in an order that is the same on every file system.
    """
    if listed := _suffixes_of(_listed(root, studies)):
        return listed
    folders = islice(_studies(root / IMAGE_FOLDERS["mimic_cxr"]), studies)
    return {file.suffix.lower() for folder in folders for file in folder.iterdir()} & {".dcm", ".jpg"}


def _listed(root: Path, number: int) -> list[Path]:
    """Return the first files of the record list without suffix; none where there is no such list, or no readable one.

    Its reader says what is wrong with it.
    """
    table = root / name_in(root, MIMIC_RECORDS)
    try:
        with open_file(table) as file, gzip.open(file, "rt") if table.suffix == ".gz" else TextIOWrapper(file) as lines:
            rows = [row.get("path") for row in islice(csv.DictReader(lines), number)]
    except (OSError, EOFError, zlib.error, csv.Error, ValueError):
        return []
    return [root / path.removesuffix(".dcm") for path in rows if path]


def _suffixes_of(files: Iterable[Path]) -> set[str]:
    return {suffix for file in files for suffix in (".dcm", ".jpg") if _is_file(Path(f"{file}{suffix}"))}


def _is_file(path: Path) -> bool:
    try:
        return is_file(path)
    except OSError:  # of a closed folder
        return False


def _studies(files: Path) -> Iterator[Path]:
    """Yield the folders of studies in the order of their names, which is the same on every file system."""
    for group in _sorted_folders(files, "p*"):
        for patient in _sorted_folders(group, "p*"):
            yield from _sorted_folders(patient, "s*")


def _sorted_folders(folder: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(folder.glob(pattern)) if path.is_dir()]


_MIMIC_TABLES = (MIMIC_RECORDS, MIMIC_STUDIES, MIMIC_METADATA, MIMIC_SPLIT)
# Labels and the like, which MIMIC-CXR-JPG distributes and no stage reads.
_OF_NO_USE = ("chexpert", "negbio", "test-set-labeled")


def unused_tables(root: Path) -> list[str]:
    """Return the names of the CSV files of a MIMIC-CXR root that are not read although they look like its index."""
    unread = {MIMIC_RECORDS} if is_mimic_jpg(root) else set()
    read = {name_in(root, name) for name in _MIMIC_TABLES if name not in unread}
    tables = [name for name in names_in(root) if name.lower().endswith((".csv", ".csv.gz"))]
    return [name for name in tables if name not in read and not any(word in name for word in _OF_NO_USE)]

"""The real tables of public sets, without images, by their distributions: counts as their owners publish them.

The package torchxrayvision ships the tables; it is read where it is installed, and no row of it is in the project.
"""

import gzip
import shutil
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from test_public_tables import settings

from stages.index_inputs.own_folder import read_folder
from stages.label_images.label_tables import read_labels

pytestmark = pytest.mark.long  # a hundred thousand rows, and every call checked: minutes

# Positives among the 112,120 images of NIH ChestX-ray14, of 30,805 patients.
NIH = {"atelectasis": 11559, "cardiomegaly": 2776, "consolidation": 4667, "edema": 2303, "effusion": 13317,
       "emphysema": 2516, "fibrosis": 1686, "hernia": 227, "infiltration": 19894, "mass": 5782, "nodule": 6331,
       "pleural_thickening": 3385, "pneumonia": 1431, "pneumothorax": 5302}  # fmt: skip


def data_of_the_package() -> Path:
    package = find_spec("torchxrayvision")
    if package is None or not package.submodule_search_locations:
        pytest.skip("NOT CHECKED: torchxrayvision, which ships real tables of labels, is not installed")
    return Path(package.submodule_search_locations[0]) / "data"


@pytest.fixture
def table(tmp_path: Path):
    """Return a function that unpacks a table of the package into the place where a distribution has it."""
    data = data_of_the_package()

    def unpack(name: str, place: str) -> Path:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(data / name) as packed, (tmp_path / place).open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        return tmp_path

    return unpack


def test_nih(table) -> None:
    root = table("Data_Entry_2017_v2020.csv.gz", "Data_Entry_2017.csv")
    table("BBox_List_2017.csv.gz", "BBox_List_2017.csv")
    index, labels = settings("nih")
    files = read_folder(root, index.model_copy(update={"find_images_in": None})).files  # there are no images
    assert (len(files), files["patient_id"].n_unique()) == (112_120, 30_805)
    read = read_labels(root, labels)
    positives = Counter(name for each in read.labels.values() for name, own in each.findings.items() if own.target)
    assert dict(positives) == NIH
    assert len(read.labels) == 112_120
    boxed = Counter(name for each in read.labels.values() for name, own in each.findings.items() for _ in own.boxes)
    assert boxed == {"atelectasis": 180, "cardiomegaly": 146, "effusion": 153, "infiltration": 123, "mass": 85,
                     "nodule": 79, "pneumonia": 120, "pneumothorax": 98}  # fmt: skip
    assert boxed.total() == 984
    assert not read.warnings


def test_chexpert(table) -> None:
    root = table("chexpert_train.csv.gz", "CheXpert-v1.0-small/train.csv")
    index, labels = settings("chexpert")
    files = read_folder(root, index).files
    assert (len(files), files["patient_id"].n_unique()) == (223_414, 64_540)
    assert len(read_labels(root, labels).labels) == 223_414


def test_vindr(table) -> None:
    """Of 67,914 rows of three readers each, counted here by another way: a finding is present where two name it."""
    root = table("vinbigdata-train.csv.gz", "train.csv")
    index, labels = settings("vindr")
    assert len(read_folder(root, index.model_copy(update={"find_images_in": None})).files) == 15_000
    rows = pl.read_csv(root / "train.csv", infer_schema=False)
    assert len(rows) == 67_914
    readers = rows.group_by("image_id", "class_name").agg(pl.col("rad_id").n_unique())
    expected = dict(readers.filter(pl.col("rad_id") >= 2).group_by("class_name").len().iter_rows())
    read = read_labels(root, labels)
    positives = Counter(name for each in read.labels.values() for name, own in each.findings.items() if own.target)
    assert positives == {name: expected[columns.target] for name, columns in labels.by_finding.items()}
    assert len(read.labels) == 15_000
    for each in read.labels.values():
        assert all(own.target for own in each.findings.values() if own.boxes)


def test_padchest(table) -> None:
    """The published counts, but for one report: a study of two patients is two."""
    index, labels = settings("padchest")
    root = table("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz", "padchest.csv")
    index = index.model_copy(update={"find_images_in": None, "table": "padchest.csv"})
    found = read_folder(root, index)
    assert (len(found.files), found.files["patient_id"].n_unique()) == (160_861, 67_625)
    assert found.reports["text"].null_count() == 0
    assert len(found.reports) == 109_931 + 1
    read = read_labels(root, labels.model_copy(update={"table": "padchest.csv"}))
    without = len(read.unlabelled) + len(read.blank)  # `unchanged`, `exclude` and the like say nothing of a finding
    assert len(read.labels) + without == 39_053  # those of physicians
    assert 1_000 < without < 2_000


def test_openi(tmp_path: Path) -> None:
    shutil.copy(data_of_the_package() / "NLMCXR_reports.tgz", tmp_path)
    index, labels = settings("openi")
    found = read_folder(tmp_path, index.model_copy(update={"find_images_in": None}))
    assert (len(found.files), found.files["study_id"].n_unique()) == (7_470, 3_955 - 104)  # 104 have no image
    assert 3_955 - len(found.reports) == 104 + 25  # and 25 of the others neither findings nor impression
    read = read_labels(tmp_path, labels)
    normal = sum(not any(own.target for own in each.findings.values()) for each in read.labels.values())
    assert normal > 2 * 1_391 * 0.9  # studies with the heading `normal` have two images, as a rule

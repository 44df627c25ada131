"""The real tables of public sets, without images, by their distributions: counts as their owners publish them.

The package torchxrayvision ships the tables; it is read where it is installed, and no row of it is in the project.
"""

import gzip
import shutil
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
from test_public_tables import settings

from stages.index_inputs.own_folder import read_folder
from stages.label_images.label_tables import read_labels

# Positives among the 112,120 images of NIH ChestX-ray14, of 30,805 patients.
NIH = {"atelectasis": 11559, "cardiomegaly": 2776, "consolidation": 4667, "edema": 2303, "effusion": 13317,
       "emphysema": 2516, "fibrosis": 1686, "hernia": 227, "infiltration": 19894, "mass": 5782, "nodule": 6331,
       "pleural_thickening": 3385, "pneumonia": 1431, "pneumothorax": 5302}  # fmt: skip


@pytest.fixture
def table(tmp_path: Path):
    """Return a function that unpacks a table of the package into the place where a distribution has it."""
    package = find_spec("torchxrayvision")
    if package is None or not package.submodule_search_locations:
        pytest.skip("NOT CHECKED: torchxrayvision, which ships real tables of labels, is not installed")
    data = Path(package.submodule_search_locations[0]) / "data"

    def unpack(name: str, place: str) -> Path:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(data / name) as packed, (tmp_path / place).open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        return tmp_path

    return unpack


def test_nih(table) -> None:
    root = table("Data_Entry_2017_v2020.csv.gz", "Data_Entry_2017.csv")
    index, labels = settings("nih")
    files = read_folder(root, index.model_copy(update={"find_images_in": None})).files  # there are no images
    assert (len(files), files["patient_id"].n_unique()) == (112_120, 30_805)
    read = read_labels(root, labels)
    positives = Counter(name for each in read.labels.values() for name, own in each.findings.items() if own.target)
    assert dict(positives) == NIH
    assert len(read.labels) == 112_120


def test_chexpert(table) -> None:
    root = table("chexpert_train.csv.gz", "CheXpert-v1.0-small/train.csv")
    index, labels = settings("chexpert")
    files = read_folder(root, index).files
    assert (len(files), files["patient_id"].n_unique()) == (223_414, 64_540)
    assert len(read_labels(root, labels).labels) == 223_414

"""Tiny distributions in the layouts of MIMIC-CXR, RSNA and SIIM, and a way to run the stage on them."""

import csv
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from stages.common.command_line import run_stage
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table
from stages.index_inputs.__main__ import WORK


@dataclass(frozen=True)
class Indexed:
    files: list[dict]
    reports: list[dict]
    journal: dict
    private: Path
    files_path: Path

    def metric(self, key: str) -> float:
        return next(metric["value"] for metric in self.journal["metrics"] if metric["key"] == key)


@pytest.fixture
def index(tmp_path: Path) -> Callable[..., Indexed]:
    def run(
        root: Path, settings: dict, dataset: str = "set", private: Path | None = None, roots: tuple[Path, ...] = ()
    ) -> Indexed:
        out, private = tmp_path / "out" / dataset, private or tmp_path / "private"
        options = {"root": root, "dataset": dataset, "private": private, "settings": json.dumps(settings),
                   "files": out / "files.arrow", "reports": out / "reports.arrow",
                   "journal": out / "journal.json"}  # fmt: skip
        argv = [text for key, value in options.items() for text in (f"--{key}", str(value))]
        run_stage(WORK, argv + (["--roots", *map(str, roots)] if roots else []))
        tables: list[pa.Table] = [
            read_table(out / "files.arrow", schemas.FILES),
            read_table(out / "reports.arrow", schemas.REPORTS),
        ]
        files, reports = (table.to_pylist() for table in tables)
        return Indexed(files, reports, json.loads((out / "journal.json").read_text()), private, out / "files.arrow")

    return run


def write_csv(path: Path, rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.fixture(name="write_csv")
def write_csv_fixture() -> Callable[[Path, list[list[str]]], None]:
    return write_csv


# subject, study, images: the second study has two images, the third belongs to the first patient
STUDIES = [
    ("10000032", "50414267", ["aaaa-1"]),
    ("10000764", "57375967", ["bbbb-1", "bbbb-2"]),
    ("10000032", "53189527", ["cccc-1"]),
]


@pytest.fixture
def mimic(tmp_path: Path) -> Path:
    """MIMIC-CXR with the split and the metadata of MIMIC-CXR-JPG beside it."""
    root = tmp_path / "mimic"
    records, studies = [["subject_id", "study_id", "dicom_id", "path"]], [["subject_id", "study_id", "path"]]
    split = [["dicom_id", "study_id", "subject_id", "split"]]
    metadata = [["dicom_id", "subject_id", "study_id", "ViewPosition"]]
    for subject, study, images in STUDIES:
        folder = f"files/p{subject[:2]}/p{subject}/s{study}"
        studies.append([subject, study, f"{folder}.txt"])
        touch(root / f"{folder}.txt")
        for image in images:
            records.append([subject, study, image, f"{folder}/{image}.dcm"])
            split.append([image, study, subject, "validate" if subject == "10000764" else "train"])
            metadata.append([image, subject, study, "PA" if image.endswith("1") else ""])
            touch(root / f"{folder}/{image}.dcm")
    write_csv(root / "cxr-record-list.csv.gz", records)
    write_csv(root / "cxr-study-list.csv.gz", studies)
    write_csv(root / "mimic-cxr-2.0.0-split.csv.gz", split)
    write_csv(root / "mimic-cxr-2.0.0-metadata.csv.gz", metadata)
    return root


@pytest.fixture
def rsna(tmp_path: Path) -> Path:
    """Three images, the second with two boxes."""
    root = tmp_path / "rsna"
    rows = [["patientId", "x", "y", "width", "height", "Target"], ["c", "", "", "", "", "0"],
            ["a", "1", "2", "3", "4", "1"], ["a", "5", "6", "7", "8", "1"], ["b", "", "", "", "", "0"]]  # fmt: skip
    write_csv(root / "stage_2_train_labels.csv", rows)
    for image in "abc":
        touch(root / f"stage_2_train_images/{image}.dcm")
    return root


@pytest.fixture
def siim(tmp_path: Path) -> Path:
    """Three images in the table, of which 1.3 is not on disk; 1.9 is on disk and not in the table."""
    root = tmp_path / "siim"
    write_csv(root / "train-rle.csv", [["ImageId", " EncodedPixels"], ["1.2", " -1"], ["1.1", " 5 2"], ["1.1", " 9 1"],
                                       ["1.3", " -1"]])  # fmt: skip
    for study, image in (("7.1", "1.1"), ("7.2", "1.2"), ("7.9", "1.9")):
        touch(root / f"dicom-images-train/{study}/{study}.4/{image}.dcm")
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "folder"
    rows = [["file", "person", "exam", "text", "projection", "terms"],
            ["b/2.png", "Q", "e1", "Clear lungs.\nNo effusion.", "PA", "CC BY"],
            ["b/1.png", "Q", "e1", "Clear lungs.\nNo effusion.", "", "CC BY"],
            ["a/3.png", "R", "e2", "", "AP", ""]]  # fmt: skip
    write_csv(root / "table.csv", rows)
    for row in rows[1:]:
        touch(root / row[0])
    return root


@pytest.fixture
def refusal(index, capsys):
    """Return the one line with which a stage refuses its input."""

    def run(root, settings, **options) -> str:
        with pytest.raises(SystemExit) as stop:
            index(root, settings, **options)
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return run

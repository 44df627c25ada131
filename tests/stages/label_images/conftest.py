"""Images of a data set without pixels worth looking at, and a way to run the stage on them."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from one_shard_store import write_manifest

from stages.common.command_line import run_stage
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table, write_rows
from stages.common.files.atomic_files import read_json
from stages.common.records import read_record
from stages.label_images.__main__ import WORK
from stages.label_images.contract import Card

SIZE = 2


@dataclass(frozen=True)
class Labelled:
    rows: list[dict]
    card: dict
    labels_path: Path
    phrases: list[dict]

    def row(self, image_id: str) -> dict:
        return next(row for row in self.rows if row["image_id"] == image_id)


def image_row(image_id: str, patient: str | None, rows: int, columns: int, picture: str) -> dict:
    return {
        "image_id": image_id, "study_id": image_id, "patient_id": patient, "dataset": "set", "view": None,
        "pixels": bytes(SIZE * SIZE), "content_box": [0, 0, SIZE, SIZE], "original_rows": rows,
        "original_columns": columns, "row_spacing": None, "column_spacing": None, "photometric": "MONOCHROME2",
        "window": "minmax", "picture_sha256": None,
        "sex": None, "age": None, "pixels_sha256": picture, "instance_uid": None,
    }  # fmt: skip


def write_store(folder: Path, rows: list[dict]) -> Path:
    write_rows(folder / "0.arrow", schemas.images(SIZE), rows)
    return write_manifest(folder, "set", SIZE, [len(rows)])


@pytest.fixture
def labelled(tmp_path: Path) -> Callable[..., Labelled]:
    """Run the stage on images given as id -> patient, all of `shape` (rows, columns) or each of its own."""

    def run(
        root: Path,
        settings: dict,
        images: dict[str, str | None],
        shape: tuple[int, int] | dict[str, tuple[int, int]] = (1024, 1024),
        pictures: dict[str, str] | None = None,
        private: Path | None = None,
        files: Path | None = None,
        rejects: dict[str, str] | None = None,
    ) -> Labelled:
        shapes = shape if isinstance(shape, dict) else dict.fromkeys(images, shape)
        rows = [image_row(name, patient, *shapes[name], (pictures or {}).get(name, name))
                for name, patient in images.items()]  # fmt: skip
        manifest = write_store(tmp_path / "images", rows)
        options = {"root": root, "dataset": "set", "images": manifest, "labels": tmp_path / "labels.arrow",
                   "phrases": tmp_path / "phrases.arrow", "card": tmp_path / "card.json",
                   "journal": tmp_path / "journal.json", "settings": json.dumps(settings)}  # fmt: skip
        options |= {name: path for name, path in (("private", private), ("files", files)) if path is not None}
        if rejects is not None:
            options["rejects"] = tmp_path / "images/rejects.arrow"
            given = [{"dataset": "set", "source_id": image, "reason": reason, "message": ""}
                     for image, reason in rejects.items()]  # fmt: skip
            write_rows(options["rejects"], schemas.REJECTS, given)
        run_stage(WORK, [text for key, value in options.items() for text in (f"--{key}", str(value))])
        read_record(tmp_path / "card.json", Card)  # what every reader does
        labels = read_table(tmp_path / "labels.arrow", schemas.LABELS).to_pylist()
        phrases = read_table(tmp_path / "phrases.arrow", schemas.PHRASES).to_pylist()
        return Labelled(labels, read_json(tmp_path / "card.json"), tmp_path / "labels.arrow", phrases)

    return run


@pytest.fixture
def refusal(labelled, capsys) -> Callable[..., str]:
    """Run the stage on input that it must refuse, and give its one line."""

    def run(*arguments: object, **options: object) -> str:
        with pytest.raises(SystemExit) as stop:
            labelled(*arguments, **options)
        assert stop.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        return lines[0]

    return run


@pytest.fixture
def write_csv() -> Callable[[Path, list[list[str]]], None]:
    def write(path: Path, rows: list[list[str]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as handle:
            csv.writer(handle).writerows(rows)

    return write

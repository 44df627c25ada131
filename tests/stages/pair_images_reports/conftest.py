"""A data set's images, files and sentences from a few words, and a way to run the stage on them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from one_shard_store import write_manifest

from stages.common.command_line import run_stage
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table, write_rows
from stages.common.files.atomic_files import read_json
from stages.common.records import read_record
from stages.pair_images_reports.__main__ import WORK
from stages.pair_images_reports.contract import Audit, Fingerprint

SIZE = 4
REJECTED = {"dicom_to_arrow": ["not_dicom", "view_excluded", "view_excluded"], "split_reports": ["empty_report"]}


def image(
    image_id: str,
    study: str,
    patient: str | None,
    picture: str = "",
    split: str | None = None,
    view: str | None = None,
    rows: int = SIZE,
    box: tuple[int, int, int, int] = (0, 0, SIZE, SIZE),
) -> dict:
    """An image whose pixels are a function of `picture`, by default unlike those of any other image."""
    return {
        "image_id": image_id, "study_id": study, "patient_id": patient, "picture": picture or image_id, "split": split,
        "view": view, "rows": rows, "box": list(box),
    }  # fmt: skip


def pixels_of(given: dict) -> bytes:
    return hashlib.sha256(given["picture"].encode()).digest()[: SIZE * SIZE]


def image_row(given: dict) -> dict:
    pixels = pixels_of(given)
    return {
        "image_id": given["image_id"], "study_id": given["study_id"], "patient_id": given["patient_id"],
        "dataset": "set", "view": given["view"], "pixels": pixels, "content_box": given["box"],
        "original_rows": given["rows"], "original_columns": SIZE, "row_spacing": None, "column_spacing": None,
        "photometric": "MONOCHROME2", "window": "minmax",
        "picture_sha256": None, "sex": None, "age": None, "pixels_sha256": hashlib.sha256(pixels).hexdigest(),
        "instance_uid": None,
    }  # fmt: skip


def write_store(folder: Path, images: list[dict], shards: int = 2) -> Path:
    """manifest.json with its shards, as dicom_to_arrow gather writes it."""
    parts = [[image_row(given) for given in images[shard::shards]] for shard in range(shards)]
    for shard, rows in enumerate(parts):
        write_rows(folder / f"{shard}.arrow", schemas.images(SIZE), rows)
    return write_manifest(folder, "set", SIZE, [len(rows) for rows in parts])


def sentence(study: str, position: int, text: str) -> dict:
    return {"study_id": study, "section": "findings", "position": position, "start": 0, "end": len(text), "text": text,
            "token_ids": [1, 2]}  # fmt: skip


@pytest.fixture
def paired(tmp_path: Path) -> Callable[..., tuple[list[dict], list[dict], dict]]:
    """Run the stage; give pairs, rejects and audit, and leave fingerprint.json in `tmp_path`.

    `reports` maps a study to its sentences; `split` is the setting patient_split, `settings` are the other ones.
    """

    def run(
        images: list[dict], reports: dict[str, list[str]], settings: dict | None = None, **split: object
    ) -> tuple[list[dict], list[dict], dict]:
        manifest = write_store(tmp_path / "images", images)
        files = [
            {"image_id": given["image_id"], "study_id": given["study_id"], "patient_id": given["patient_id"],
             "dataset": "set", "path": given["image_id"], "sha256": None, "view": None,
             "distributed_split": given["split"], "inverted": None, "sex": None, "age": None, "shard": 0}
            for given in images
        ]  # fmt: skip
        write_rows(tmp_path / "files.arrow", schemas.FILES, files)
        rows = [sentence(study, place, text) for study, texts in reports.items() for place, text in enumerate(texts)]
        write_rows(tmp_path / "sentences.arrow", schemas.SENTENCES, rows)
        for stage, reasons in REJECTED.items():
            write_rows(tmp_path / f"{stage}.arrow", schemas.REJECTS, [
                {"dataset": "set", "source_id": f"x{number}", "reason": reason, "message": "-"}
                for number, reason in enumerate(reasons)
            ])  # fmt: skip
        options = {"images": manifest, "image-rejects": tmp_path / "dicom_to_arrow.arrow",
                   "report-rejects": tmp_path / "split_reports.arrow",
                   "sentences": tmp_path / "sentences.arrow", "files": tmp_path / "files.arrow",
                   "pairs": tmp_path / "pairs.arrow", "rejects": tmp_path / "rejects.arrow",
                   "audit": tmp_path / "audit.json", "fingerprint": tmp_path / "fingerprint.json",
                   "journal": tmp_path / "journal.json",
                   "settings": json.dumps({"patient_split": split} | (settings or {}))}  # fmt: skip
        run_stage(WORK, [text for key, value in options.items() for text in (f"--{key}", str(value))])
        for name, record in (("audit.json", Audit), ("fingerprint.json", Fingerprint)):
            read_record(tmp_path / name, record)  # what every reader does
        pairs = read_table(tmp_path / "pairs.arrow", schemas.PAIRS).to_pylist()
        rejects = read_table(tmp_path / "rejects.arrow", schemas.REJECTS).to_pylist()
        return pairs, rejects, read_json(tmp_path / "audit.json")

    return run


@pytest.fixture(name="image")
def image_fixture() -> Callable[..., dict]:
    return image


@pytest.fixture(name="pixels_of")
def pixels_of_fixture() -> Callable[[dict], bytes]:
    return pixels_of


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[list[dict]], Path]:
    """Write the images' store; give its manifest."""
    return lambda images: write_store(tmp_path / "stored", images)

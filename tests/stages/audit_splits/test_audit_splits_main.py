"""From files to audit.json, and what stops every evaluation of a data set."""

from pathlib import Path

import pytest

from stages.audit_splits.__main__ import WORK
from stages.audit_splits.contract import Compared, SplitAudit, read_overlap
from stages.common.command_line import run_stage
from stages.common.data.manifest import Manifest
from stages.common.errors import InputError
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.common.files.atomic_files import read_json
from stages.common.records import read_record, write_record


def label(image: str, patient: str, split: str) -> dict:
    return {"image_id": image, "patient_id": patient, "finding": "pneumothorax", "target": 0, "boxes": [],
            "mask": None, "lung_mask": None,
            "sex": None, "age": None, "view": None, "split": split, "subset": 100}  # fmt: skip


CLEAN = [label("a", "p", "train"), label("b", "q", "validation"), label("c", "r", "test")]


def audit(folder: Path, labels: list[dict], settings: str = "{}", pictures: tuple[int, int] = (3, 3)) -> Path:
    write_rows(folder / "labels.arrow", schemas.LABELS, labels)
    write_rows(folder / "duplicates.arrow", schemas.DUPLICATES, [])
    pair = {"image_id": "x", "study_id": "s", "patient_id": "r", "split": "train"}
    write_rows(folder / "pairs.arrow", schemas.PAIRS, [pair])
    for name, known in zip(("images", "pretrain-images"), pictures, strict=True):
        counts = {"indexed": 3, "images": 3, "rejects": 0, "pictures": known}
        write_record(folder / f"{name}.json", Manifest(dataset=name, size=16, **counts, shards=[]))
    files = {name: folder / f"{name}.arrow" for name in ("labels", "duplicates", "pairs")}
    files |= {name: folder / f"{name}.json" for name in ("images", "pretrain-images", "audit", "journal")}
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    run_stage(WORK, [*options, "--dataset", "siim", "--pretrain-on", "mimic_cxr", "--settings", settings])
    return folder / "audit.json"


def test_a_clean_split_passes_and_says_what_was_compared(tmp_path: Path) -> None:
    path = audit(tmp_path, CLEAN)
    assert read_overlap(path, tmp_path / "labels.arrow").found == {}
    assert read_record(path, SplitAudit).compared == Compared(
        images=3, patients_within=True, patients_with_pretraining=False, pictures_with_pretraining=True
    )


def test_pictures_without_a_digest_cannot_be_compared_and_that_is_said(tmp_path: Path) -> None:
    path = audit(tmp_path, CLEAN, pictures=(3, 2))
    assert not read_record(path, SplitAudit).compared.pictures_with_pretraining


def test_a_split_of_rows_is_refused_and_nothing_is_written(tmp_path: Path, capsys) -> None:
    """As the lists of SIIM that circulate: an image with two regions has two rows, one in train and one in test."""
    rows = [*CLEAN, label("d", "s", "train"), label("d", "s", "test")]
    with pytest.raises(SystemExit) as stop:
        audit(tmp_path, rows)
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "1 images are in more than one of train, validation and test" in lines[0]
    assert not (tmp_path / "audit.json").exists()
    assert read_json(tmp_path / "journal.json")["status"] == "FAILED"
    allowed = audit(tmp_path, rows, "{allow_overlap: true}")
    assert read_overlap(allowed, tmp_path / "labels.arrow").images_in_several_parts == 1


def test_the_same_patient_ids_are_compared_where_asked(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        audit(tmp_path, CLEAN, "{same_patients: true}")
    assert "1 test patients were seen by pre-training" in capsys.readouterr().err


def test_an_audit_of_other_labels_is_refused(tmp_path: Path) -> None:
    path = audit(tmp_path, CLEAN)
    write_rows(tmp_path / "labels.arrow", schemas.LABELS, CLEAN[1:])
    with pytest.raises(InputError, match="is the audit of other labels"):
        read_overlap(path, tmp_path / "labels.arrow")
    write_record(path, read_record(path, SplitAudit).model_copy(update={"labels_sha256": "0"}))
    with pytest.raises(InputError, match="run audit_splits again"):
        read_overlap(path, tmp_path / "labels.arrow")

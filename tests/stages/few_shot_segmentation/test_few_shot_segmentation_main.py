"""Both commands from files to files: what they write, that they resume, and what they say of inputs that do not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
from outlined_set import linear_job
from split_audit import write_audit

from stages.common.command_line import run_stage
from stages.common.data.run_lengths import decode
from stages.common.files import schemas
from stages.common.files.arrow_tables import map_table, read_table, write_rows
from stages.common.files.atomic_files import read_json, verify
from stages.common.training.served_states import remove_served
from stages.few_shot_segmentation.__main__ import WORK
from stages.few_shot_segmentation.contract import ALWAYS_DIFFERENT, FIGURES

LINEAR = linear_job().model_dump_json()
FINETUNE = {"input_size": 32, "batch_size": 8, "decoder_width": 16, "auxiliary_width": 8, "learning_rate": 5e-3,
            "steps": 4, "warmup_steps": 1, "validations": 2, "draws": 50, "seeds": 2, "fraction": 10}  # fmt: skip


def segment(folder: Path, protocol: str, options: list[str], settings: str) -> dict:
    outputs = {"result": "result.json", "overlaps": "overlaps", "samples": "samples.arrow", "journal": "journal.json",
               "state": "state"}  # fmt: skip
    words = [word for name, path in outputs.items() for word in (f"--{name}", str(folder / path))]
    command = [protocol, *options, *words, "--device", "cpu", "--settings", settings]
    run_stage(WORK, command)
    verify(folder / "result.json")
    return read_json(folder / "result.json")


def error_of(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as stopped:
        segment(*arguments)
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def test_linear_writes_what_it_measured(files, tmp_path) -> None:
    settings = linear_job(epochs=10, seeds=2, publish_samples=True, samples=2).model_dump_json()
    result = segment(tmp_path, "linear", files.options(), settings)
    assert (result["finding"], result["protocol"], result["skipped"]) == ("lung_opacity", "linear", None)
    figures = {name: each["value"] for name, each in result["metrics"].items()}
    negatives = 1 - result["images"]["test"]["positives"] / result["images"]["test"]["images"]
    assert figures["predict_nothing"] == pytest.approx(negatives)
    assert figures["dice_of_positives"] > 0.5  # brightness is easy even for an untrained encoder
    assert figures["dice"] > figures["predict_nothing"]
    for seed in result["seeds"]:
        rows = read_table(tmp_path / "overlaps" / f"seed_{seed['seed']}.arrow", schemas.OVERLAPS).to_pylist()
        assert len(rows) == result["images"]["test"]["images"]
        dice = [2 * row["both"] / whole if (whole := row["truth"] + row["predicted"]) else 1 for row in rows]
        assert np.mean(dice) == pytest.approx(seed["dice"])
    shown = map_table(tmp_path / "samples.arrow")
    assert len(shown) == 2
    for row in shown.to_pylist():
        assert decode(row["truth"], 32, 32).sum() == 24 * 16 / 4  # half as large on the stored square
    journal = read_json(tmp_path / "journal.json")
    assert journal["status"] == "FINISHED"
    assert journal["artifacts"][0]["path"] == "pictures/best_median_worst.png"
    remove_served(tmp_path / "state")
    assert list((tmp_path / "state").iterdir()) == []


def test_finetune_writes_the_same_files_and_shows_no_image_unasked(files, tmp_path) -> None:
    result = segment(tmp_path, "finetune", files.options(), json.dumps(FINETUNE))
    assert (result["protocol"], result["fraction"], len(result["seeds"])) == ("finetune", 10, 2)
    metrics = {(each["key"], each["step"]) for each in read_json(tmp_path / "journal.json")["metrics"]}
    assert {("seed_0/loss", 2), ("seed_1/validation_dice_of_positives", 4), ("test/dice", 0)} <= metrics
    assert len(map_table(tmp_path / "samples.arrow")) == 0
    assert not (tmp_path / "pictures").exists()


def test_benchx_writes_the_same_files(files, tmp_path) -> None:
    result = segment(tmp_path, "benchx", files.options(), json.dumps(FINETUNE | {"seeds": 1}))
    assert (result["protocol"], result["always_different"]) == ("benchx", list(ALWAYS_DIFFERENT["benchx"]))
    assert result["departures"]["steps"] == [4, 20_000]
    assert set(result["metrics"]) == set(FIGURES)


def test_small_images_are_refused_or_the_result_says_so(files, tmp_path, capsys) -> None:
    message = error_of(capsys, tmp_path, "linear", files.options(), linear_job(input_size=64).model_dump_json())
    assert "stored at 32 pixels, but the protocol's input_size is 64" in message
    settings = linear_job(input_size=64, allow_upsampling=True, epochs=1).model_dump_json()
    result = segment(tmp_path, "linear", files.options(), settings)
    assert (result["stored_size"], result["input_size"]) == (32, 64)
    assert result["departures"]["stored_size"] == [32, 64]
    assert result["departures"]["input_size"] == [64, 224]
    assert result["always_different"] == list(ALWAYS_DIFFERENT["linear"])


def edited(files, folder: Path, change) -> list[str]:
    """Options with labels that `change` made of the rows."""
    rows = read_table(files.folder / "labels.arrow", schemas.LABELS).to_pylist()
    folder.mkdir(exist_ok=True)
    write_rows(folder / "labels.arrow", schemas.LABELS, [change(row) for row in rows])
    write_audit(folder / "labels.arrow", folder / "audit.json")
    options = files.options()
    for option, name in (("--labels", "labels.arrow"), ("--audit", "audit.json")):
        options[options.index(option) + 1] = str(folder / name)
    return options


def test_a_subset_without_outlines_is_a_result(files, tmp_path) -> None:
    def untold(row: dict) -> dict:
        return row | {"mask": None} if row["split"] == "train" else row

    result = segment(tmp_path, "linear", edited(files, tmp_path, untold), LINEAR)
    assert "none with an outline" in result["skipped"]
    assert result["metrics"] == {}
    assert result["images"]["train"]["positives_without_outline"] > 0
    assert read_json(tmp_path / "journal.json")["tags"]["skipped"] == result["skipped"]


def test_nothing_is_measured_without_masks(files, tmp_path, capsys) -> None:
    message = error_of(capsys, tmp_path, "linear", edited(files, tmp_path, lambda row: row | {"mask": None}), LINEAR)
    assert "no image of the validation part has a mask or boxes of lung_opacity" in message


def test_run_lengths_that_leave_the_image_are_one_line(files, tmp_path, capsys) -> None:
    def beyond(row: dict) -> dict:
        return row | {"mask": [2000, 100]} if row["mask"] else row

    message = error_of(capsys, tmp_path, "linear", edited(files, tmp_path, beyond), LINEAR)
    assert "mask of image i0" in message
    assert "extends beyond the image of 64 x 32 pixels" in message


def test_a_patch_that_does_not_divide_the_input_is_one_line(files, tmp_path, capsys) -> None:
    message = error_of(capsys, tmp_path, "linear", files.options(), linear_job(input_size=30).model_dump_json())
    assert "input_size 30 is not a multiple of the encoder's patch_size, 4" in message


def test_the_overlap_that_was_allowed_stands_in_the_result_and_an_audit_of_other_labels_stops(
    files, tmp_path, capsys
) -> None:
    options = edited(files, tmp_path, lambda row: row)
    write_audit(tmp_path / "labels.arrow", tmp_path / "audit.json", 0, 0, 0, 0, 3)
    result = segment(tmp_path, "linear", options, linear_job(epochs=1).model_dump_json())
    assert result["overlap"]["test_patients_in_pretraining"] == 3
    capsys.readouterr()
    edited(files, tmp_path / "other", lambda row: row | {"finding": "nodule"})
    options[options.index("--audit") + 1] = str(tmp_path / "other" / "audit.json")
    assert "is the audit of other labels" in error_of(capsys, tmp_path, "linear", options, LINEAR)

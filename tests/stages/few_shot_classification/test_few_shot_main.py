"""Both commands from files to files, and what they say of inputs that do not fit."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score
from split_audit import overlap_of, write_audit

from stages.common.command_line import run_stage
from stages.common.files import schemas
from stages.common.files.arrow_tables import map_table, read_table, write_rows, write_table
from stages.common.files.atomic_files import read_json, verify
from stages.extract_features import __main__ as extract_features
from stages.few_shot_classification.__main__ import WORK
from stages.few_shot_classification.contract import ALWAYS_DIFFERENT

QUICK = "{draws: 50, seeds: 1, epochs: 2}"


@pytest.fixture(scope="module")
def features(files, tmp_path_factory) -> Path:
    """The features of the tiny encoder, by their own stage."""
    folder = tmp_path_factory.mktemp("features")
    arguments = [
        *("--checkpoint", str(files.checkpoint), "--images", str(files.images), "--device", "cpu"),
        *("--features", str(folder / "features.arrow"), "--journal", str(folder / "journal.json")),
    ]
    run_stage(extract_features.WORK, arguments)
    return folder / "features.arrow"


def classify(folder: Path, command: list[str], settings: str) -> dict:
    outputs = {name: str(folder / path) for name, path in
               (("result", "result.json"), ("scores", "scores"), ("journal", "journal.json"))}  # fmt: skip
    options = [word for name, path in outputs.items() for word in (f"--{name}", path)]
    run_stage(WORK, [*command, *options, "--settings", settings])
    verify(folder / "result.json")
    return read_json(folder / "result.json")


def linear(folder: Path, files, features: Path, settings: str = QUICK) -> dict:
    return classify(folder, ["linear", *files.options(), "--features", str(features)], settings)


def error_of(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as stopped:
        linear(*arguments)
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def test_linear_writes_what_it_measured(files, features, tmp_path) -> None:
    result = linear(tmp_path, files, features, "{draws: 50, learning_rate: 0.01, fraction: 100, seeds: 2}")
    assert (list(result["findings"]), result["protocol"], result["fraction"]) == (["lung_opacity"], "linear", 100)
    assert result["skipped"] is None
    assert set(result["overlap"].values()) == {0}
    assert result["departures"] == {"learning_rate": [0.01, 5e-4]}
    assert result["always_different"] == list(ALWAYS_DIFFERENT["linear"])
    assert result["metrics"]["auc"]["value"] > 0.95  # brightness is easy even for an untrained encoder
    journal = read_json(tmp_path / "journal.json")
    assert journal["status"] == "FINISHED"
    assert {path.name for path in (tmp_path / "scores").glob("*.arrow")} == {"seed_0.arrow", "seed_1.arrow"}
    for seed in result["seeds"]:
        scores = read_table(tmp_path / "scores" / f"seed_{seed['seed']}.arrow", schemas.SCORES).to_pylist()
        test = [row for row in scores if row["split"] == "test"]
        assert {row["split"] for row in scores} == {"validation", "test"}
        auc = roc_auc_score([row["target"] for row in test], [row["score"] for row in test])
        assert auc == pytest.approx(seed["auc"])


def test_finetune_writes_the_same_files(files, tmp_path) -> None:
    command = ["finetune", *files.options(), "--checkpoint", str(files.checkpoint), "--images", str(files.images)]
    command += ["--state", str(tmp_path / "state")]
    settings = "{steps: 20, learning_rate: 0.1, warmup_steps: 2, validations: 2, seeds: 2, draws: 50, fraction: 10}"
    result = classify(tmp_path, [*command, "--device", "cpu"], settings)
    assert (result["protocol"], result["fraction"], len(result["seeds"])) == ("finetune", 10, 2)
    assert result["departures"] == {
        "steps": [20, 10_000], "learning_rate": [0.1, 5e-4], "warmup_steps": [2, 50], "validations": [2, 20]
    }  # fmt: skip
    assert "steps 20 instead of 10,000" in read_json(tmp_path / "journal.json")["tags"]["not_the_published_protocol"]
    assert {"auc", "average_precision", "f1", "accuracy"} == set(result["metrics"])
    metrics = {(each["key"], each["step"]) for each in read_json(tmp_path / "journal.json")["metrics"]}
    assert {("seed_0/loss", 10), ("seed_1/validation_auc", 20), ("test/auc", 0)} <= metrics


def test_benchx_is_the_same_with_its_own_settings(files, tmp_path) -> None:
    command = ["benchx", *files.options(), "--checkpoint", str(files.checkpoint), "--images", str(files.images)]
    command += ["--state", str(tmp_path / "state"), "--device", "cpu"]
    result = classify(tmp_path, command, "{steps: 4, validations: 2, seeds: 1, draws: 50, fraction: 10}")
    assert (result["protocol"], len(result["seeds"])) == ("benchx", 1)
    assert result["departures"] == {"steps": [4, 3000], "validations": [2, 20]}
    assert result["always_different"] == list(ALWAYS_DIFFERENT["benchx"])


def test_a_subset_without_positives_is_a_result_and_old_scores_go(files, features, tmp_path) -> None:
    linear(tmp_path, files, features)
    rows = read_table(files.labels, schemas.LABELS).to_pylist()
    kept = [row for row in rows if row["split"] != "train" or row["target"] == 0]
    write_rows(tmp_path / "labels.arrow", schemas.LABELS, kept)
    write_audit(tmp_path / "labels.arrow", tmp_path / "audit.json")
    command = ["--labels", str(tmp_path / "labels.arrow"), "--audit", str(tmp_path / "audit.json")]
    result = classify(tmp_path, ["linear", *command, "--features", str(features)], "{fraction: 1}")
    assert "all with target 0" in result["skipped"]
    assert result["metrics"] == {}
    assert list((tmp_path / "scores").iterdir()) == []
    assert read_json(tmp_path / "journal.json")["tags"]["skipped"] == result["skipped"]


def test_an_overlap_that_was_allowed_stands_in_the_result(files, features, tmp_path) -> None:
    found = overlap_of(1, 2, 3, 4, 5)
    write_audit(files.labels, tmp_path / "audit.json", 1, 2, 3, 4, 5)
    command = ["linear", "--labels", str(files.labels), "--audit", str(tmp_path / "audit.json")]
    result = classify(tmp_path, [*command, "--features", str(features)], QUICK)
    assert result["overlap"] == found.model_dump()


def _spoil(features: Path, target: Path, change) -> Path:
    schema = map_table(features).schema
    rows = change(map_table(features).to_pylist())
    write_table(target, schema, pa.Table.from_pylist(rows, schema=schema))
    return target


def test_features_that_lack_an_image_or_are_no_numbers(files, features, tmp_path, capsys) -> None:
    def without_first(rows: list[dict]) -> list[dict]:
        return rows[1:]

    def diverged(rows: list[dict]) -> list[dict]:
        return [rows[0] | {"pooled": [float("nan"), *rows[0]["pooled"][1:]]}, *rows[1:]]

    short = _spoil(features, tmp_path / "short.arrow", without_first)
    assert "short.arrow: lacks 1 labelled images (first: i0000)" in error_of(capsys, tmp_path, files, short)
    wild = _spoil(features, tmp_path / "wild.arrow", diverged)
    assert "wild.arrow: features of 1 images (first: i0000) are not finite" in error_of(capsys, tmp_path, files, wild)
    assert read_json(tmp_path / "journal.json")["status"] == "FAILED"


def test_a_table_of_something_else_is_no_features(files, features, tmp_path, capsys) -> None:
    assert "labels.arrow: columns differ from the contract" in error_of(capsys, tmp_path, files, files.labels)
    shutil.copy(features, tmp_path / "alone.arrow")
    assert "alone.arrow.sha256 is missing" in error_of(capsys, tmp_path, files, tmp_path / "alone.arrow")
    assert np.isfinite(linear(tmp_path, files, features)["metrics"]["auc"]["value"])

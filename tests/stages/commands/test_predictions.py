"""mlip predict over several radiographs and folders: nothing lost, forms that agree; where a model lies."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import yaml
from pyarrow import parquet

from stages import InputError, load
from stages.__main__ import main
from stages.api.checkpoints import checkpoint_folder
from stages.commands.predict import read_questions
from stages.commands.predictions import files_of

CLASSES = {"opacity": ["opacity in the left lung .", "opacity"], "none": ["no opacity ."]}
QUESTIONS = [CLASSES, {"lung": ["lung ."], "no lung": ["no lung ."]}]


@pytest.fixture
def folder(exported, tmp_path) -> Path:
    """Two radiographs at different depths, a damaged one, a text, and a hidden file."""
    place = tmp_path / "radiographs"
    (place / "deep").mkdir(parents=True)
    for name in ("a.dcm", "deep/c.dcm"):
        shutil.copy(exported.radiograph, place / name)
    (place / "b.dcm").write_bytes(exported.radiograph.read_bytes()[:300])
    (place / "notes.txt").write_text("no picture")
    (place / ".hidden").write_text("")
    return place


def ask(exported, folder: Path, *options: str | Path) -> int | str | None:
    """Return the exit status of the command over the folder."""
    prompts = folder.parent / "prompts.yaml"
    prompts.write_text(json.dumps(CLASSES))
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(folder), "--prompts", str(prompts), "--checkpoint", str(exported.checkpoint.parent),
              "--device", "cpu", *map(str, options)])  # fmt: skip
    return ended.value.code


def test_a_folder_gives_a_row_for_each_image_and_class_and_loses_nothing(exported, folder, capsys) -> None:
    assert ask(exported, folder, "--output", folder.parent / "out.json") == 1
    said = capsys.readouterr().err
    assert "left out as no image: 1 file (first: " in said
    assert "2 of 3 radiographs read" in said
    rows = json.loads((folder.parent / "out.json").read_text())
    assert [Path(row["image"]).name for row in rows] == ["a.dcm", "a.dcm", "b.dcm", "c.dcm", "c.dcm"]
    assert rows[2]["error"].startswith("truncated header")
    one = load(exported.checkpoint, "cpu").classify(exported.radiograph, CLASSES)  # the answer for a single one
    for row in (row for row in rows if row["error"] is None):
        assert row["probability"] == pytest.approx(one.probabilities[row["class"]], abs=1e-6)
        assert row["cosine"] == pytest.approx(one.cosines[row["class"]], abs=1e-6)


def test_every_form_holds_the_same_rows(exported, folder, capsys) -> None:
    for form in ("csv", "json", "parquet"):
        ask(exported, folder, "--output", folder.parent / f"out.{form}")
    as_json = json.loads((folder.parent / "out.json").read_text())
    assert parquet.read_table(folder.parent / "out.parquet").to_pylist() == as_json
    written = (folder.parent / "out.csv").read_text()
    found = [{key: None if value == "" else float(value) if key in ("probability", "cosine") else value
              for key, value in row.items()} for row in csv.DictReader(io.StringIO(written))]  # fmt: skip
    assert found == as_json
    capsys.readouterr()
    ask(exported, folder)
    assert capsys.readouterr().out == written
    assert ask(exported, folder, "--output", "out.xlsx") == 2
    assert "--output out.xlsx: no known form; use a name that ends in .csv, .json, .parquet" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--heatmap", "x.png"], ["--show", "opacity"], ["--reading", "raw"], ["--json"]])
def test_options_of_one_radiograph_are_refused_for_a_table(exported, folder, options, capsys) -> None:
    for more in ([], ["--output", "out.json"]):
        assert ask(exported, folder, *options, *more) == 2
        assert capsys.readouterr().err == (
            f"error: {options[0]}: for one radiograph, without --output; name one file; "
            "--output FILE.json writes several as JSON\n"
        )


def test_several_questions_are_asked_at_once_and_each_adds_up_to_one(exported) -> None:
    model = load(exported.checkpoint, "cpu")
    square = model.read_radiograph(exported.radiograph)
    first, broken, last = model.classify_many([exported.radiograph, b"no picture", square], QUESTIONS)
    assert (broken.image, broken.probabilities) == ("image 1", {})
    assert broken.error.startswith("not an image")
    assert first.probabilities == pytest.approx(last.probabilities)
    for question in QUESTIONS:
        assert {name: first.probabilities[name] for name in question} == pytest.approx(
            model.classify(square, question).probabilities, abs=1e-6)  # fmt: skip
    with pytest.raises(InputError, match="a class stands in two questions"):
        model.classify_many([square], [CLASSES, CLASSES])
    with pytest.raises(InputError, match="prompts 1: give at least two classes"):
        model.classify_many([square], [CLASSES, {"a": "lung"}])


def test_all_findings_of_a_prompt_file_become_questions(tmp_path) -> None:
    sets = {"s": {"positive": ["lung ."], "negative": ["no lung ."]}}
    path = tmp_path / "prompts.yaml"
    path.write_text(yaml.safe_dump({"findings": {"a_b": {"sets": sets}, "c": {"sets": sets}}}))
    assert [list(each) for each in read_questions(path)] == [["a b", "no a b"], ["c", "no c"]]


def test_a_folder_without_files_is_refused(tmp_path) -> None:
    (tmp_path / ".hidden").write_text("")
    with pytest.raises(InputError, match="no file in it; name a folder of DICOM, JPEG or PNG files"):
        files_of([tmp_path])


def test_no_file_is_left_out_in_silence_but_the_table_of_an_earlier_call(tmp_path, capsys) -> None:
    patients, elsewhere = tmp_path / "patients", tmp_path / "elsewhere"
    for folder in (patients, elsewhere):
        folder.mkdir()
    (elsewhere / "b.dcm").write_text("")
    (patients / "a.dcm").write_text("")
    (patients / "linked").symlink_to(elsewhere)
    (patients / "itself").symlink_to(patients)
    (patients / "gone.dcm").symlink_to(tmp_path / "nowhere")
    (patients / "out.csv").write_text("")
    (patients / "1.2.840.7").write_bytes(bytes(128) + b"DICM")  # UIDs are names without an ending
    (patients / "DICOMDIR2").write_bytes(bytes(128) + b"DICM")
    found = [path.name for path in files_of([patients], patients / "out.csv")]
    assert found == ["1.2.840.7", "DICOMDIR2", "a.dcm", "gone.dcm", "b.dcm"]
    assert capsys.readouterr().err == ""
    (patients / "IM1").write_bytes(b"\x08\x00\x05\x00" + bytes(40))  # a data set without preamble
    (patients / "IM2.ima").write_bytes(bytes(128) + b"DICM")
    (patients / "pic").write_bytes(b"\xff\xd8\xff\xe0" + bytes(40))
    (patients / "circle").symlink_to(patients / "back")
    (patients / "back").symlink_to(patients / "circle")
    found = [path.name for path in files_of([patients], patients / "out.csv")]
    assert {"IM1", "IM2.ima", "pic", "circle", "back"} < set(found)
    (patients / "readme.txt").write_text("of these patients")
    (patients / "LICENSE").write_text("short")
    assert [path.name for path in files_of([patients], patients / "out.csv")] == found
    assert capsys.readouterr().err == (
        f"{patients}: left out as no image: 2 files (first: {str(patients / 'LICENSE')!r})\n"
    )
    assert files_of([patients / "readme.txt"]) == [patients / "readme.txt"]  # was named: its row says what it is
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("")
    with pytest.raises(InputError, match="none of 1 file is an image"):
        files_of([tmp_path / "texts"])


@pytest.mark.parametrize("below", ["", "mlip", "select_checkpoint/mlip", "results/select_checkpoint/mlip"])
def test_the_checkpoint_is_found_below_the_folders_above_it(exported, tmp_path, below) -> None:
    place = tmp_path / below / "checkpoint"
    shutil.copytree(exported.checkpoint, place)
    shutil.copytree(exported.model, place.with_name("mlflow_model"))  # holds the same weights again
    assert checkpoint_folder(tmp_path) == place
    assert checkpoint_folder(place) == place


def test_a_model_that_mlflow_made_is_found_and_one_of_two_is_to_be_chosen(exported, tmp_path) -> None:
    shutil.copytree(exported.model, tmp_path / "a" / "mlflow_model")
    assert checkpoint_folder(tmp_path) == tmp_path / "a/mlflow_model/data/checkpoint"
    for name in ("b", "c"):
        shutil.copytree(exported.checkpoint, tmp_path / "two" / name / "checkpoint")
    with pytest.raises(InputError, match=r"holds 2 models; name one: .*two/b/checkpoint, .*two/c/checkpoint"):
        checkpoint_folder(tmp_path / "two")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"not a model: no inference.json in it, nor in checkpoint, \*/checkpoint, "):
        checkpoint_folder(tmp_path / "none")
    with pytest.raises(InputError, match="not a model, but a file"):
        checkpoint_folder(exported.radiograph)

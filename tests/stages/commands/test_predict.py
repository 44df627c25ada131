"""mlip predict: a table or JSON, a heatmap; mistakes are one line."""

import json
from pathlib import Path

import cv2
import pytest

from stages.__main__ import main
from stages.commands.predict import only_question, read_questions
from stages.common.errors import InputError
from stages.common.inference.model import RadiographModel
from stages.common.inference.squares import squares_of_files

CLASSES = {"opacity": ["opacity in the left lung .", "opacity"], "none": ["no opacity ."]}


@pytest.fixture(scope="module")
def reading(exported):
    model = RadiographModel(exported.checkpoint)
    [square] = squares_of_files([exported.radiograph], ["image"], model.settings)
    return model.read(square, CLASSES)


def ask(*options: str | Path) -> None:
    main(["predict", *map(str, options)])


def test_the_command_prints_probabilities_and_draws_a_heatmap(exported, reading, tmp_path, capsys) -> None:
    (tmp_path / "prompts.yaml").write_text(json.dumps(CLASSES))
    options = [exported.radiograph, "--prompts", tmp_path / "prompts.yaml", "--checkpoint", exported.checkpoint]
    ask(*options, "--heatmap", tmp_path / "out.png")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["class", "probability", "cosine"]
    found = {line.split()[0]: float(line.split()[1]) for line in lines[1:3]}
    assert found == pytest.approx(reading.probabilities, abs=5e-4)
    picture = cv2.imread(str(tmp_path / "out.png"))
    assert picture.shape == (636, 1200, 3)  # the radiograph, alone and below the heatmap
    ask(*options, "--json")
    assert json.loads(capsys.readouterr().out)["probabilities"] == pytest.approx(reading.probabilities)


def test_prompt_files_of_zero_shot_classification_are_read_too() -> None:
    [classes] = read_questions(Path("stages/zero_shot_classification/prompts/siim.yaml"), "phrasings")
    assert list(classes) == ["pneumothorax", "no pneumothorax"]
    assert "Pneumothorax is present." in classes["pneumothorax"]


def test_a_class_may_have_one_sentence_without_a_list(tmp_path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text("pneumothorax: There is a pneumothorax.\nclear: [The lungs are clear., Clear.]")
    assert read_questions(path) == [
        {"pneumothorax": ["There is a pneumothorax."], "clear": ["The lungs are clear.", "Clear."]}]  # fmt: skip


def test_one_of_several_findings_is_chosen(tmp_path) -> None:
    path = tmp_path / "prompts.yaml"
    sets = "{sets: {s: {positive: ['NAME .'], negative: ['no NAME .']}}}"
    path.write_text("findings: " + "{a_b: " + sets.replace("NAME", "ab") + ", c: " + sets.replace("NAME", "c") + "}")
    assert only_question(read_questions(path, None, "a_b")) == {"a b": ["ab ."], "no a b": ["no ab ."]}
    with pytest.raises(InputError, match="has 2 findings; choose one with --finding: a_b, c"):
        only_question(read_questions(path))
    with pytest.raises(InputError, match="no finding d; choose one of a_b, c"):
        read_questions(path, None, "d")


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("a: [x]\nb: [y]", ["--finding", "t"], "is no prompt file with `sets`; leave --finding out"),
        ("a: [x]\nb: [y]", ["--show", "c"], "--show c: no such class; choose one of a, b"),
        ("a: x", [], "give at least two classes, each with a sentence"),
        (
            "a: {b: c}",
            [],
            "not a mapping of each class to its sentences, e.g. `pneumothorax: There is a pneumothorax.`",
        ),
        ("", [], "not a mapping of each class to its sentences"),
        ("a: [x]\nb: [y]", ["--set", "t"], "--set t: "),
        ("a: [x]\nb: [y]", ["--set", ""], "is no prompt file with `sets`; leave --set out"),
        ("a: [x]\nb: [y]", ["--show", ""], "--show : no such class; choose one of a, b"),
        ("a: [x]\nb: [y]", ["--show", "b"], "--show without --heatmap shows nothing; add --heatmap FILE.png"),
        ("a: [x]\nb: [y]", ["--reading", "raw"], "--reading is of heatmaps, and none is asked for; add --heatmap FILE"),
        ("a: [x]\nb: [y]", ["--heatmap", "/dev/null/x.png"], "/dev/null/x.png: /dev/null is no folder; name"),
        ("yes: [x]\nno: [y]", [], "prompts.yaml: class True is a bool, no text; quote it"),
        ("a: [x]\nb: [no]", [], "prompts.yaml: class b: sentence 0: a bool; give text, in quotes"),
        ("a: [x]\nb: []", [], "prompts.yaml: give at least two classes"),
        ("[", [], "not valid YAML"),
        ("finding: f\nsets: {s: {positive: [x], negative: [y]}}", ["--set", "t"], "no prompt set t; choose one of s"),
        ("opacity: [opacity]\nnone: [no opacity]", ["--heatmap", "out.jpg"], "use a name that ends in .png"),
    ],
)
def test_wrong_commands_are_one_line(exported, tmp_path, capsys, text, more, words) -> None:
    (tmp_path / "prompts.yaml").write_text(text)
    with pytest.raises(SystemExit, match="2"):
        ask(exported.radiograph, "--prompts", tmp_path / "prompts.yaml", "--checkpoint", exported.checkpoint, *more)
    [line] = capsys.readouterr().err.splitlines()
    assert words in line

"""mlip doctor and its like find the checkout, and stages are found by either spelling."""

import subprocess
import sys
from pathlib import Path

import pytest

from stages import __main__ as subject
from stages.commands.checkout import SUMMARIES, find_checkout
from stages.common.command_line import PROGRAM
from stages.common.errors import InputError
from stages.common.files.code_digest import PACKAGE, ROOT


class Replaced(BaseException):
    """Raised in place of becoming another program: its arguments and environment."""


def replaced(_path: str, *given: object) -> None:
    raise Replaced(*given)


@pytest.fixture
def checkout(tmp_path) -> Path:
    (tmp_path / "clone" / "workflow").mkdir(parents=True)
    (tmp_path / "clone" / "workflow" / "Snakefile").touch()
    return tmp_path / "clone"


def test_the_checkout_around_the_folder_comes_before_the_installed_one(checkout) -> None:
    (checkout / "deep" / "down").mkdir(parents=True)
    assert find_checkout(None, checkout / "deep" / "down", PACKAGE) == checkout
    assert find_checkout(None, Path("/"), PACKAGE) == ROOT
    assert find_checkout(ROOT, checkout, PACKAGE) == ROOT


def test_outside_of_any_checkout_is_one_line(tmp_path) -> None:
    with pytest.raises(InputError, match=r"not a checkout of MLIP .* mlip --checkout FOLDER COMMAND"):
        find_checkout(None, tmp_path, tmp_path / "site-packages" / "mlip")
    with pytest.raises(InputError, match=f"{tmp_path}: not a checkout"):
        find_checkout(tmp_path, ROOT, PACKAGE)


@pytest.mark.parametrize(
    ("command", "module", "in_checkout"),
    [("doctor", "workflow.doctor", True), ("audit", "workflow.audit", False)],
)
def test_its_arguments_reach_the_pipelines_command(monkeypatch, tmp_path, checkout, command, module, in_checkout):
    monkeypatch.setattr("os.execve", replaced)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Replaced) as program:
        subject.main(["--checkout", str(checkout), command, "--profile", "p", "--help"])
    arguments, environment = program.value.args
    assert arguments[1:] == ["-P", "-m", module, "--profile", "p", "--help"]
    assert environment["PYTHONPATH"].split(":")[0] == str(checkout)
    assert environment[PROGRAM] == f"mlip {command}"
    assert Path.cwd() == (checkout if in_checkout else tmp_path)


def test_every_command_of_the_pipeline_is_there() -> None:
    for name in SUMMARIES:
        assert list((ROOT / "workflow").glob(f"{name}.py")) + list((ROOT / "workflow" / name).glob("__main__.py"))


@pytest.mark.parametrize("name", ["few-shot-segmentation", "few_shot_segmentation"])
def test_a_stage_is_run_as_its_module(monkeypatch, name) -> None:
    monkeypatch.setattr("os.execve", replaced)
    with pytest.raises(Replaced) as program:
        subject.main([name, "--help"])
    arguments, environment = program.value.args
    assert arguments[1:] == ["-m", "stages.few_shot_segmentation", "--help"]
    assert environment[PROGRAM] == f"mlip {name}"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["pretain"], "pretain: no such command (did you mean `pretrain`?); mlip --help lists them"),
        (["predikt"], "predikt: no such command (did you mean `predict`?); mlip --help lists them"),
        (["doctr"], "doctr: no such command (did you mean `doctor`?); mlip --help lists them"),
        (["few-shot-clasification"],
         "few-shot-clasification: no such command (did you mean `few-shot-classification`?); mlip --help lists them"),
        (["xyz"], "xyz: no such command; mlip --help lists them"),
        (["a\nb"], r"a\nb: no such command; mlip --help lists them"),
        (["--checkout", ".", "predict"], "--checkout: predict needs none; leave it out"),
        (["--checkout", ".", "pretrain"], "--checkout: pretrain needs none; leave it out"),
    ],
)  # fmt: skip
def test_a_wrong_command_is_one_line(capsys, arguments, line) -> None:
    with pytest.raises(SystemExit, match="2"):
        subject.main(arguments)
    assert capsys.readouterr().err == f"error: {line}\n"


@pytest.mark.parametrize(
    "command", ["doctor", "estimate", "why", "images", "audit", "retrieval", "few-shot-segmentation", "sync"]
)
def test_usage_names_the_program_as_it_was_called(command) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stages", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"usage: mlip {command} ")


def test_help_lists_every_command(capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        subject.main(["--help"])
    text = capsys.readouterr().out
    for name in [*SUMMARIES, "predict", "embed", "split-report", "zero-shot-classification", "sync"]:
        assert f"\n  {name} " in text

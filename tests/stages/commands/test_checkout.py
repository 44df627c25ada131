"""mlip doctor and its like find the checkout, and stages are found by either spelling."""

from pathlib import Path

import pytest

from stages import __main__ as subject
from stages.commands.checkout import SUMMARIES, find_checkout
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
    assert Path.cwd() == (checkout if in_checkout else tmp_path)


def test_every_command_of_the_pipeline_is_there() -> None:
    for name in SUMMARIES:
        assert list((ROOT / "workflow").glob(f"{name}.py")) + list((ROOT / "workflow" / name).glob("__main__.py"))


@pytest.mark.parametrize("name", ["few-shot-segmentation", "few_shot_segmentation"])
def test_a_stage_is_run_as_its_module(monkeypatch, name) -> None:
    monkeypatch.setattr("os.execv", replaced)
    with pytest.raises(Replaced) as program:
        subject.main([name, "--help"])
    assert program.value.args[0][1:] == ["-m", "stages.few_shot_segmentation", "--help"]


def test_an_unknown_command_is_one_line(capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        subject.main(["pretain"])
    assert capsys.readouterr().err == "error: pretain: no such command; mlip --help lists them\n"


def test_help_lists_every_command(capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        subject.main(["--help"])
    text = capsys.readouterr().out
    for name in [*SUMMARIES, "predict", "embed", "split-report", "zero-shot-classification", "sync"]:
        assert f"\n  {name} " in text

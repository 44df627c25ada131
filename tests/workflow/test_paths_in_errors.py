"""Errors name paths as they were given: relative, through links, from another folder."""

import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from stages.commands import checkout, new_dataset
from stages.common.errors import InputError
from stages.common.files.atomic_files import check_writable
from workflow.doctor.folders import existing
from workflow.input_files import CHECKOUT, _prompts_of
from workflow.ui import store_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: `link` leads to `real`, `file` is a file."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said_by(function, *arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value)


def test_a_linked_workspace_keeps_its_name(folder: Path) -> None:
    assert said_by(store_of, Path("link/none")).startswith("link/none/mlflow.db: no such store")
    assert existing(Path("link/none/deeper")) == Path("link")
    assert existing(Path("none")) == folder, "the current folder is named"


def test_an_output_below_a_file(folder: Path) -> None:
    assert said_by(check_writable, Path("file/x/y.png")).startswith("file/x/y.png: file is no folder")
    assert said_by(check_writable, folder / "file" / "y.png").startswith(f"{folder}/file/y.png: {folder}/file is no")


@pytest.mark.parametrize(
    ("table", "root", "said"),
    [("none.csv", None, "none.csv: no such file"),
     ("link/t.csv", None, "link/t.csv: no column names images below link"),
     ("t.csv", "link", "t.csv: no column names images below link")],
)  # fmt: skip
def test_a_new_data_set(folder: Path, table: str, root: str | None, said: str) -> None:
    for place in (folder / "t.csv", folder / "real" / "t.csv"):
        place.write_text("file,patient\na.png,p1\n")
    options = ArgumentParser()
    new_dataset.add_options(options)
    given = options.parse_args([table, *(["--root", root] if root else [])])
    assert said_by(new_dataset.main, given).startswith(said)


def test_a_prompt_file_with_a_wrong_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "p.yaml").write_text("findings: 3")
    monkeypatch.setattr("workflow.input_files.CHECKOUT", folder)
    assert said_by(_prompts_of, "link/../p.yaml", "zero_shot_classification", False).startswith("link/../p.yaml: ")


def test_a_configuration_is_that_of_the_folder_where_mlip_is_called(folder: Path) -> None:
    """Commands of the pipeline run in the checkout's folder."""
    (folder / "ours.yaml").write_text("retreival: {}")
    command = [sys.executable, "-m", "stages", "--checkout", str(CHECKOUT), "estimate", "--configfile", "ours.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(CHECKOUT)})
    assert "ours.yaml: retreival: unknown key" in done.stderr, done.stderr
    assert checkout._with_files_of_here(["--configfile", "ours.yaml", "none.yaml", "-n", "file"]) == [
        "--configfile", str(folder / "ours.yaml"), "none.yaml", "-n", "file",
    ]  # fmt: skip

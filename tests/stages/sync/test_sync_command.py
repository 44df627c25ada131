"""The command: one line of summary, one line an error, and no harm to a workflow that tolerates it."""

from pathlib import Path

import pytest
from fake_mlflow import FakeMlflow, serving

from stages.common.errors import InputError
from stages.sync import __main__ as command
from stages.sync import synchronise as subject
from stages.sync.options import read_options
from stages.sync.synchronise import Summary, absolute_uri


@pytest.fixture(scope="module")
def refusing():
    fake = FakeMlflow()
    fake.mode = "403"
    with serving(fake) as uri:
        yield uri


def test_the_command_tells_of_broken_journals_and_imports_the_others(write, tmp_path, database, request, capsys):
    write()
    broken = tmp_path / "results" / "broken"
    broken.mkdir()
    (broken / "journal.json").write_text("{")
    arguments = ["--journals", str(tmp_path / "results"), "--store", f"sqlite:///{database}"]
    arguments += ["--experiment", request.node.name, "--artifacts", str(tmp_path / "artifacts")]
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out.startswith("imported 1 new")
    assert err.startswith(f"error: {broken / 'journal.json'}: not valid JSON")
    command.main([*arguments, "--tolerant"])  # no SystemExit
    out, err = capsys.readouterr()
    assert out.startswith("imported 0 new, updated 0, unchanged 1")
    assert err.startswith("warning: sync: ")


@pytest.mark.parametrize("failure", ["no folder", "no database", "not a URI", "nobody listens", "refuses", "a bug"])
def test_a_failing_store_is_one_line_and_harmless_if_tolerated(write, tmp_path, capsys, monkeypatch, failure, refusing):
    write()
    folder, store = str(tmp_path / "results"), f"sqlite:///{tmp_path / 'x.db'}"
    if failure == "no folder":
        folder = str(tmp_path / "absent")
    elif failure == "no database":
        (tmp_path / "x.db").write_text("no database, but a text long enough to have a header")
    elif failure == "not a URI":
        store = "mlflow.db"
    elif failure == "nobody listens":
        store = "http://user:secret@127.0.0.1:9"
    elif failure == "refuses":
        store = refusing.replace("//", "//user:secret@")
    else:
        monkeypatch.setattr(subject, "find_journals", lambda _: 1 / 0)
    arguments = ["--journals", folder, "--store", store]
    with pytest.raises(ZeroDivisionError if failure == "a bug" else SystemExit):
        command.main(arguments)
    capsys.readouterr()
    command.main([*arguments, "--tolerant"])
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("warning: sync: ")
    assert "secret" not in err


def test_a_relative_store_means_the_same_in_every_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("sqlite:///mlflow.db") == f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    assert absolute_uri("sqlite:////folder/mlflow.db") == "sqlite:////folder/mlflow.db"
    assert absolute_uri("sqlite+pysqlite:///mlflow.db") == absolute_uri("sqlite:///mlflow.db"), "is checked as one"
    assert absolute_uri("http://host:5000") == "http://host:5000"


@pytest.mark.parametrize("store", ["sqlite://", "sqlite+aiosqlite:///mlflow.db", "sqlite:mlflow.db"])
def test_a_sqlite_store_that_is_no_file_is_refused(store):
    with pytest.raises(InputError, match=r"--store sqlite.*: not the URI of a SQLite file; write sqlite:///FILE\.db"):
        absolute_uri(store)


def test_a_server_is_opened_in_the_browser_without_its_password():
    summary = Summary(1, 2, 3, "https://user:secret@host:5000/", "7", ["mlip-a 2"], [], [])
    assert str(summary) == (
        "imported 1 new, updated 2, unchanged 3 runs into https://***@host:5000/, model mlip-a 2; "
        "open https://host:5000/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=mlip"
    )


@pytest.mark.parametrize("hours", ["nan", "-1", "inf", "soon"])
def test_a_time_that_is_none_is_refused(hours, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        read_options(["--journals", str(tmp_path), f"--grace={hours}"])
    assert f"argument --grace: invalid hours value: {hours!r}" in capsys.readouterr().err

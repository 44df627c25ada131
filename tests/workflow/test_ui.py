"""`make ui` serves what is there, quietly, and says where the runs are; the Makefile's targets are no files."""

import re
from pathlib import Path

import pytest

from stages.common.errors import InputError
from stages.sync.quiet_mlflow import MlflowClient
from workflow.ui import main, pages, server, store_of

ROOT = Path(__file__).resolve().parents[2]


def test_a_mistyped_workspace_is_refused_and_nothing_is_created(tmp_path: Path, capsys) -> None:
    (tmp_path / "main").mkdir()
    (tmp_path / "main" / "mlflow.db").touch()
    for workspace in (tmp_path / "typo", tmp_path / "none" / "main"):
        with pytest.raises(InputError, match=r"no such store of MLflow.*make sync"):
            store_of(workspace)
        assert not workspace.exists()
    with pytest.raises(SystemExit):
        main(["--workspace", str(tmp_path / "typo")])
    assert f"there are {tmp_path / 'main'}; correct WORKSPACE" in capsys.readouterr().err
    assert store_of(tmp_path / "main") == f"sqlite:///{tmp_path / 'main' / 'mlflow.db'}"


def test_the_address_leads_to_the_runs_of_each_experiment(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    number = MlflowClient(store).create_experiment("ours")
    assert pages(store, "http://127.0.0.1:7") == {
        "ours": f"http://127.0.0.1:7/#/experiments/{number}/runs?workflowType=machine_learning"
    }


def test_the_server_tells_nobody_and_keeps_what_the_user_set() -> None:
    command, environment = server("sqlite:///x.db", 7, {"HOME": "/h"})
    assert command[1:] == [
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        "sqlite:///x.db",
        "--host",
        "127.0.0.1",
        "--port",
        "7",
    ]
    assert environment == {"HOME": "/h", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    assert server("s", 7, {"DO_NOT_TRACK": "0"})[1]["DO_NOT_TRACK"] == "0"


def test_every_target_that_is_no_file_is_declared_so() -> None:
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.MULTILINE))
    (declared,) = re.findall(r"^\.PHONY:(.*)$", text, re.MULTILINE)
    assert targets == set(declared.split())
    assert {"images", "ui", "why", "clean"} <= targets

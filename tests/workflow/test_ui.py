"""`make ui` serves what is there, quietly, and says where the runs are; the Makefile's targets are no files."""

import os
import re
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from stages.common.errors import InputError
from stages.sync.quiet_mlflow import MlflowClient
from workflow.ui import QUIET, announce, answers, main, pages, refuse_taken_port, server, store_of

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
        "--workers",
        "1",
        "--uvicorn-opts",
        "--log-level warning --no-access-log",
    ]
    assert environment == QUIET | {"HOME": "/h"}
    assert {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}.items() <= environment.items()
    assert server("s", 7, {"DO_NOT_TRACK": "0"})[1]["DO_NOT_TRACK"] == "0"


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}: another program listens there; end it, or choose another"):
            refuse_taken_port(port)
    refuse_taken_port(port)


class Late(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_an_address_is_given_once_it_answers(tmp_path: Path, capsys) -> None:
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    MlflowClient(store).create_experiment("ours")
    with HTTPServer(("127.0.0.1", 0), Late, bind_and_activate=False) as late:
        late.server_bind()
        address = f"http://127.0.0.1:{late.server_port}"
        assert not answers(address, os.getppid(), seconds=0.3), "it does not listen yet"
        assert not answers(address, -1), "the server has ended"
        late.server_activate()
        Thread(target=late.serve_forever, daemon=True).start()
        announce(store, address, os.getppid())
        late.shutdown()
    assert capsys.readouterr().out.startswith(f"ours: {address}/#/experiments/")


def test_every_target_that_is_no_file_is_declared_so() -> None:
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.MULTILINE))
    (declared,) = re.findall(r"^\.PHONY:(.*)$", text, re.MULTILINE)
    assert targets == set(declared.split())
    assert {"images", "ui", "why", "clean"} <= targets

"""A real store, hand-written journals."""

import hashlib
import json

import pytest
import yaml
from mlflow_process import MlflowProcess
from postgresql import DRIVER, packages_for_the_server, postgresql

from stages.common.journal import live_logging, mlflow_server

STARTED = 1_700_000_000_000  # Unix milliseconds
DECISION = {"criterion": "rank", "split": "validation", "candidates": {"5": 0.1, "9": 0.2}, "chosen_step": 9,
            "reason": "step 9 is best"}  # fmt: skip


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """One store for all tests (creating it takes seconds); each test has an experiment of its own."""
    return tmp_path_factory.mktemp("store") / "mlflow.db"


@pytest.fixture(scope="session")
def sqlite_server(tmp_path_factory):
    """For tests of the xdist group `mlflow_server`: starting it takes seconds."""
    folder = tmp_path_factory.mktemp("server")
    server = MlflowProcess(folder / "mlflow.db", folder / "artifacts")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("postgresql_server")
    with postgresql() as uri:
        variables = packages_for_the_server(folder / "packages", DRIVER)
        server = MlflowProcess(folder / "none", folder / "artifacts", uri, variables=variables)
        server.start()
        yield server
        server.kill()


@pytest.fixture
def live_at(monkeypatch, request):
    """Names a server to stages, which then log there without delay, into an experiment of the test's name."""

    def named(uri):
        for module, name, value in (
            (live_logging, "_SECONDS_BEFORE", 0.0),
            (live_logging, "_SECONDS_BETWEEN", 0.02),
            (live_logging, "_PAUSE", 0.02),
            (live_logging, "_LONGEST_PAUSE", 0.1),
            (mlflow_server, "_SECONDS_BEFORE_RETRY", 0.01),
        ):
            monkeypatch.setattr(module, name, value)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)

    return named


@pytest.fixture
def write(tmp_path):
    def journal(stage="pretrain", name="mlip", folder=None, files=(), **changes):
        place = tmp_path / "results" / (folder or f"{stage}/{name}")
        place.mkdir(parents=True, exist_ok=True)
        record = {
            "version": 1,
            "stage": stage,
            "name": name,
            "status": "FINISHED",
            "started": STARTED,
            "ended": STARTED + 5000,
            "error": None,
            "digests": {"code": "c", "settings": "s", "data": "d", "image": "none"},
            "inputs": {"pairs": "p"},
            "params": {"seed": "0", "prompts[0]": "(a)", "empty": ""},
            "metrics": [metric_at(step) for step in range(3)],
            "artifacts": [],
            "tags": {"host": "node1", "git_commit": "abc"},
        } | changes
        for path, text, publish in files:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(text)
            digest = hashlib.sha256(text.encode()).hexdigest()
            record["artifacts"].append({"path": path, "sha256": digest, "bytes": len(text), "publish": publish})
        (place / "journal.json").write_text(json.dumps(record))
        return place

    return journal


@pytest.fixture
def metric():
    return metric_at


def metric_at(step, key="loss", value=None):
    return {
        "key": key,
        "value": 1.0 / (step + 1) if value is None else value,
        "step": step,
        "timestamp": STARTED + step,
    }


@pytest.fixture
def choose(write):
    """Writes what select_checkpoint leaves: a journal and a model folder with some weights."""

    def chosen(weights="aa", variant="mlip", decision=DECISION, **changes):
        folder = f"select_checkpoint/{variant}"
        text = yaml.safe_dump({"metadata": {"weights_sha256": weights, "selection": decision}})
        metrics = [{"key": "validation/recall_at_1", "value": 0.25, "step": 0, "timestamp": 1}]
        place = write("select_checkpoint", variant, folder, files=[("mlflow_model/MLmodel", text, False)],
                      metrics=metrics, **changes)  # fmt: skip
        (place / "mlflow_model/data").mkdir(exist_ok=True)
        (place / "mlflow_model/data/model.safetensors").write_text(f"the weights {weights}")
        return place

    return chosen

"""A real MLflow server that is killed, restarted, locked and emptied between a stage's live logging and sync."""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from eventually import SECONDS, eventually
from mlflow_process import MlflowProcess
from slow_proxy import slow_proxy
from store_snapshot import snapshot

from stages.common.errors import InputError
from stages.common.files.code_digest import ROOT
from stages.common.journal import mlflow_server
from stages.common.journal.mlflow_texts import mlflow_keys
from stages.common.journal.tracking import track
from stages.common.settings import Settings
from stages.sync.quiet_mlflow import MlflowClient, ViewType
from stages.sync.synchronise import synchronise

pytestmark = pytest.mark.xdist_group("mlflow_server")  # one worker: one server


class Example(Settings):
    seed: int = 0


@pytest.fixture
def server(sqlite_server, live_at):
    """The server, named to stages by the environment; each test has an experiment of its own."""
    live_at(sqlite_server.uri)
    return sqlite_server


@pytest.fixture
def held(server, request):
    """Everything that the server holds of this test's experiment, by run name and start."""
    name = request.node.name
    client = MlflowClient(server.uri)
    return lambda: snapshot(client, name) if client.get_experiment_by_name(name) else {}


@pytest.fixture
def sync(server, tmp_path, request):
    return lambda: synchronise(tmp_path / "results", server.uri, request.node.name, grace_hours=0.0)


def tracked(folder: Path, name: str):
    return track("sync", name, journal=folder / "results" / name / "journal.json", settings=Example(), inputs={})


def log(run, steps) -> None:
    """Numbers as stages have them: a loss, a name that MLflow refuses, and one that is not finite."""
    for step in steps:
        run.log_metrics({"loss": 1.0 / (step + 1), "auc(test)[0]": step / 100, "odd": float("nan")}, step)


def in_journals(folder: Path) -> Counter:
    """(run, key, step, time, value) of every finite number, by MLflow's names."""
    found = Counter()
    for path in sorted(folder.rglob("journal.json")):
        record = json.loads(path.read_text())
        names = mlflow_keys(metric["key"] for metric in record["metrics"])
        found.update(
            (f"{record['stage']}/{record['name']}", names[each["key"]], each["step"], each["timestamp"], each["value"])
            for each in record["metrics"]
            if isinstance(each["value"], float)
        )
    return found


def in_mlflow(runs) -> Counter:
    return Counter((name, *metric) for (name, _), run in runs.items() for metric in run["metrics"])


def test_after_a_kill_and_a_restart_every_number_is_there_once(server, held, sync, choose, tmp_path, capfd):
    """One run outlives the restart, one ends while nobody answers; then sync, twice; then all is lost."""

    def live(name):
        """Status and losses of each run of that name: one."""
        shown = [run for (run_name, _), run in held().items() if run_name == f"sync/{name}"]
        return [(run["status"], sum(metric[0] == "loss" for metric in run["metrics"])) for run in shown]

    with tracked(tmp_path, "survives") as run:
        with tracked(tmp_path, "ends_alone") as alone:
            log(run, range(20))
            log(alone, range(20))
            eventually(lambda: all(live(name) == [("RUNNING", 20)] for name in ("survives", "ends_alone")))
            server.kill()
            log(run, range(20, 40))
            log(alone, range(20, 40))
            eventually(lambda: run.live.failures and alone.live.failures)
        server.start()
        log(run, range(40, 60))
        eventually(lambda: live("survives") == [("RUNNING", 60)])
    eventually(lambda: live("survives") == [("FINISHED", 60)])
    assert live("ends_alone") == [("RUNNING", 20)]
    assert capfd.readouterr().err.count(" values were not shown live; the next sync adds them from the journal") == 2

    choose()
    summary = sync()
    assert (summary.new, summary.updated, summary.warnings) == (1, 2, [])
    first, journals = held(), in_journals(tmp_path / "results")
    assert in_mlflow(first) == journals
    assert set(journals.values()) == {1}
    assert sum(key in ("loss", "auc_test__0_") for _, key, *_ in journals) == 2 * (60 + 40)
    assert {run["status"] for run in first.values()} == {"FINISHED"}
    assert _weights(server, summary.models) == "the weights aa"

    again = sync()
    assert (again.new, again.updated, again.unchanged, again.models) == (0, 0, 3, [])
    assert held() == first

    server.kill()
    server.lose_everything()
    server.start()
    assert sync().new == 3
    assert held() == first
    assert _weights(server, summary.models) == "the weights aa"


def _weights(server: MlflowProcess, models: list[str]) -> str:
    """What somebody gets who loads the registered model from this server."""
    (label,) = models
    client = MlflowClient(server.uri)
    version = client.get_model_version_by_alias(label.rpartition(" ")[0], "current")
    folder = client.download_artifacts(version.run_id, "model")
    return (Path(folder) / "data/model.safetensors").read_text()


def only_run(server: MlflowProcess, experiment: str) -> str:
    """The id of the one run of an experiment, as soon as it holds a number."""
    client, runs = MlflowClient(server.uri), []

    def there():
        held = client.get_experiment_by_name(experiment)
        runs[:] = client.search_runs([held.experiment_id]) if held else []
        return any("loss" in run.data.metrics for run in runs)

    eventually(there)
    assert len(runs) == 1
    return runs[0].info.run_id


def test_a_run_that_a_person_deletes_stays_deleted_and_nothing_is_sent_any_more(
    server, held, sync, tmp_path, capfd, request
):
    with tracked(tmp_path, "unwanted") as run:
        log(run, range(20))
        identity = only_run(server, request.node.name)
        MlflowClient(server.uri).delete_run(identity)
        log(run, range(20, 40))
        run.live._thread.join(SECONDS)
        assert not run.live._thread.is_alive()
        log(run, range(40, 60))
    assert capfd.readouterr().err == ""
    assert sum(key == "loss" for _, key, *_ in in_journals(tmp_path / "results")) == 60
    summary = sync()
    assert (summary.new, summary.updated, summary.warnings) == (0, 0, [])
    assert MlflowClient(server.uri).get_run(identity).info.lifecycle_stage == "deleted"
    assert sum(metric[0] == "loss" for run in held().values() for metric in run["metrics"]) == 20


@pytest.mark.parametrize("when", ["at a batch", "at its end"])
def test_a_stage_whose_run_was_merged_into_another_goes_on_there(server, tmp_path, capfd, request, when):
    """As sync does it where a server made a run twice: of two that carry the key it deletes one."""
    client = MlflowClient(server.uri)
    with tracked(tmp_path, "twice") as run:
        log(run, range(20))
        first = only_run(server, request.node.name)
        experiment = client.get_run(first).info.experiment_id
        other = client.create_run(experiment, tags={"mlip.key": run.key}, run_name="sync/twice").info.run_id
        eventually(lambda: run.live.sent and not run.live._waiting)
        client.delete_run(first)
        if when == "at a batch":
            log(run, range(20, 40))
            eventually(lambda: len(client.get_metric_history(other, "loss")) == 20)
    run.live._thread.join(SECONDS)
    assert client.get_run(other).info.status == "FINISHED"
    assert capfd.readouterr().err == ""
    assert len(client.search_runs([experiment], run_view_type=ViewType.ALL)) == 2


def test_a_sync_killed_in_its_upload_is_completed_by_the_next(server, held, sync, write, tmp_path, metric, request):
    """It is killed while it waits to hear that its third run was made."""
    made, reached, released = Counter(), threading.Event(), threading.Event()

    def seconds(path):
        made["runs"] += path.endswith("/runs/create")
        if made["runs"] == 3:
            reached.set()
            released.wait(SECONDS)
        return 0.0

    for number in range(40):  # more than are made at once
        write(name=f"v{number}", metrics=[metric(step) for step in range(5)], files=[("a.txt", "a", True)])
    with slow_proxy(server.uri, seconds) as uri:
        arguments = ["--journals", str(tmp_path / "results"), "--store", uri]
        command = [sys.executable, "-m", "stages.sync", *arguments, "--experiment", request.node.name]
        with subprocess.Popen(command, cwd=ROOT) as process:
            assert reached.wait(SECONDS)
            process.kill()
        released.set()
    assert 2 <= len(held()) < 40
    sync()
    assert in_mlflow(held()) == in_journals(tmp_path / "results")
    assert {tuple(run["artifacts"]) for run in held().values()} == {("files/a.txt", "manifest.json")}
    assert sync().unchanged == 40


def test_a_server_whose_sqlite_is_locked_delays_no_stage_and_loses_nothing(server, held, sync, tmp_path, monkeypatch):
    monkeypatch.setattr(mlflow_server, "_SECONDS_A_CALL", 0.5)
    other = sqlite3.connect(server.database)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with tracked(tmp_path, "locked") as run:
            log(run, range(50))
            eventually(lambda: run.live.failures)
            began = time.monotonic()
        assert time.monotonic() - began < 5.0
        assert run.live.sent == 0
        run.live._thread.join(SECONDS)  # a stage's process would have ended, and with it what may still speak
    finally:
        other.close()
    sync()
    assert in_mlflow(held()) == in_journals(tmp_path / "results")


def test_a_server_that_does_what_it_is_asked_but_answers_too_late_gets_no_run_twice(
    server, sync, write, tmp_path, metric, monkeypatch, request
):
    """The client gives up, and asks again for what was done: creating a run, logging its numbers, ending it."""
    for number in range(3):
        write(name=f"v{number}", metrics=[metric(step) for step in range(5)], files=[("a.txt", "a", True)])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    late = {"runs/create": {0, 1, 2, 4}, "runs/log-batch": {0, 1}, "runs/update": {0, 1}}  # which answers, in order
    asked = Counter()

    def seconds(path):
        call = path.partition("/mlflow/")[2]
        number, asked[call] = asked[call], asked[call] + 1
        return 2.0 if number in late.get(call, ()) else 0.0

    with slow_proxy(server.uri, seconds) as uri:
        for _ in range(9):
            with suppress(InputError):
                last = synchronise(tmp_path / "results", uri, request.node.name, grace_hours=0.0)
                break
    assert all(asked[call] > max(numbers) for call, numbers in late.items())
    assert (last.warnings, last.problems) == ([], [])
    shown = snapshot(MlflowClient(server.uri), request.node.name, ViewType.ACTIVE_ONLY)  # fails where a run is twice
    assert in_mlflow(shown) == in_journals(tmp_path / "results")
    assert sync().unchanged == len(shown) == 3


def test_a_server_that_takes_its_time_for_each_answer_ends_with_everything(
    server, held, write, tmp_path, metric, request
):
    write(name="v", metrics=[metric(step) for step in range(5)], files=[("a.txt", "a", True)])
    with slow_proxy(server.uri, lambda _: 0.3) as uri:
        summary = synchronise(tmp_path / "results", uri, request.node.name, grace_hours=0.0)
    assert (summary.new, summary.warnings, summary.problems) == (1, [], [])
    assert in_mlflow(held()) == in_journals(tmp_path / "results")


def test_many_runs_wait_for_a_slow_server_together(server, held, write, tmp_path, metric, request):
    """Seven calls must be waiting before the first of them is answered."""
    gathered, count = threading.Barrier(7), Counter()

    def seconds(path):
        if path.endswith("/runs/create") and not gathered.broken:
            gathered.wait(SECONDS)
        count[path.partition("/mlflow/")[2].partition("?")[0] or "artifacts"] += 1
        return 0.0

    for number in range(14):
        files = [("a.txt", "a", True), ("b.txt", "b", True)]
        write(name=f"v{number}", metrics=[metric(step) for step in range(5)], files=files)
    with slow_proxy(server.uri, seconds) as uri:
        summary = synchronise(tmp_path / "results", uri, request.node.name, grace_hours=0.0, register=False)
    assert not gathered.broken
    assert (summary.new, summary.warnings, summary.problems) == (14, [], [])
    assert in_mlflow(held()) == in_journals(tmp_path / "results")
    of_runs = {call.partition("/")[2]: number // 14 for call, number in count.items() if call.startswith("runs/")}
    # Numbers and settings are one batch, tags and digest another; `get` says where the files go.
    assert of_runs | {"search": 0} == {
        "create": 1, "log-batch": 2, "log-inputs": 1, "get": 1, "update": 1, "search": 0}  # fmt: skip
    assert sum(number for call, number in count.items() if "artifacts" in call) == 14 * 3  # and the manifest

"""The same content behind a server with PostgreSQL as in a SQLite file, and with several writers as with one."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from eventually import SECONDS, eventually
from store_snapshot import snapshot

from stages.common.files.code_digest import ROOT
from stages.common.journal.tracking import track
from stages.common.settings import Settings
from stages.sync.quiet_mlflow import MlflowClient, ViewType
from stages.sync.synchronise import synchronise

pytestmark = pytest.mark.xdist_group("mlflow_server")  # one worker: one server of each kind
STARTED = 1_700_000_000_000
ROUNDS = int(os.environ.get("MLIP_ROUNDS", "1"))  # of those that write at once; more by hand


class Example(Settings):
    seed: int = 0


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request):
    return request.getfixturevalue(f"{request.param}_server")


def content(uri: str, experiment: str):
    """Everything of an experiment and its registered models; runs by name and start, and no id of a run."""
    client = MlflowClient(uri)
    held = client.get_experiment_by_name(experiment)
    deleted = len(client.search_runs([held.experiment_id], "", ViewType.DELETED_ONLY))
    names = {run.info.run_id: run.info.run_name for run in client.search_runs([held.experiment_id], "", ViewType.ALL)}
    runs = snapshot(client, experiment, ViewType.ACTIVE_ONLY)
    for run in runs.values():
        if parent := run["tags"].get("mlflow.parentRunId"):
            run["tags"]["mlflow.parentRunId"] = names[parent]
    data = {
        (run.info.run_name, each.dataset.name, each.dataset.digest, each.dataset.source, each.tags[0].value)
        for run in client.search_runs([held.experiment_id], "", ViewType.ALL)
        for each in run.inputs.dataset_inputs
    }
    models = {}
    for model in client.search_registered_models(f"name LIKE '{experiment}-%'"):
        versions = client.search_model_versions(f"name = '{model.name}'")
        current = client.get_model_version_by_alias(model.name, "current").tags["mlip.weights_sha256"]
        by_weights = {each.tags["mlip.weights_sha256"]: (each.tags, each.description) for each in versions}
        assert len(by_weights) == len(versions), "weights that have two versions"
        models[model.name] = (model.description, model.tags, current, by_weights)
    tags = {key: value for key, value in held.tags.items() if key != "mlip.store"}  # of a SQLite file alone
    return tags, runs, data, models, deleted


def tagged(call, **more):
    return {"host": "node1", "invocation": call, "project": "p", "variant": "v"} | more


def whole_tree(write, choose, metric, at=STARTED, call="A", own="", steps=9):
    """A call of the workflow: stages that finished, failed and were killed, parts, files, a model, odd texts."""
    odd = {"ψ": "Röntgen ☢ 'x' \"y\" \\ %", "long": "ü" * 9000, "tab\t": "a\tb\nc"}
    numbers = [1e-310, 1.7976931348623157e308, -0.0, 0.1 + 0.2, 2**53 + 0.0]
    many = [metric(step) for step in range(steps)] + [
        metric(step, "odd ψ[0]", each) for step, each in enumerate(numbers)
    ]
    many += [{"key": "nan", "value": "nan", "step": 2**40, "timestamp": at}]
    weights, tags = f"w{own}", tagged(call)
    write("index_inputs", f"rsna{own}", started=at, tags=tags, inputs={"table": "t"}, metrics=many, params=odd)
    for part in range(3):
        place = write("dicom_to_arrow", f"rsna{own}/{part}", f"dicom_to_arrow/rsna{own}", started=at + 1, tags=tags)
        (place / "journal.json").rename(place / f"journal_{part}.json")
    write("dicom_to_arrow", f"rsna{own}", started=at + 5, tags=tags, files=[("pictures/ä b.svg", "<svg>", True)])
    choose(weights, f"v{own}", started=at + 6, tags=tags)
    for number, status in enumerate(("FINISHED", "FAILED", "RUNNING")):
        stage = ("zero_shot_classification", "retrieval", "phrase_grounding")[number]
        write(
            stage, f"v{own}/rsna", started=at + 7 + number, status=status, inputs={"weights": weights, "pairs": "p"},
            ended=None if status == "RUNNING" else at + 99, error="E: ä" * 3000 if status == "FAILED" else None,
            metrics=[metric(0, "test/auc", 0.75)], tags=tags | {"interval.test/auc": "0.7 to 0.8"},
            files=[("a.txt", f"{stage}{own}", True), ("gone.txt", "g", False)],
        )  # fmt: skip


def rerun(folder: Path, write, metric):
    """A second call, which replaces the killed stage; what was killed first has no journal any more."""
    (folder / "earlier_journals").mkdir()
    (folder / "journal.json").rename(folder / "earlier_journals" / f"journal_{STARTED + 9}.json")
    write("phrase_grounding", "v/rsna", started=STARTED + 90_000, ended=STARTED + 99_000, tags=tagged("B"),
          metrics=[metric(0, "test/hit_rate", 0.5)])  # fmt: skip


def test_postgresql_holds_what_a_sqlite_file_holds(postgresql_server, write, choose, metric, tmp_path, request):
    name, journals = request.node.name, tmp_path / "results"
    stores = [f"sqlite:///{tmp_path / 'mlflow.db'}", postgresql_server.uri]

    def synced(**options):
        """The content, which is the same in both."""
        said = []
        for store in stores:
            done = synchronise(journals, store, name, **({"grace_hours": 0.0} | options))
            assert (done.warnings, done.problems) == ([], [])
            said.append((done.new, done.updated, done.unchanged, done.models))
        first, second = [content(store, name) for store in stores]
        assert first == second
        assert said[0] == said[1]
        return said[0], first

    whole_tree(write, choose, metric, steps=1200)  # more than a batch
    (new, *_), first = synced(grace_hours=1e9)  # it runs still
    assert new == len(first[1]) > 8
    assert synced(grace_hours=1e9) == ((0, 0, new, []), first)
    rerun(journals / "phrase_grounding/v/rsna", write, metric)
    choose("other", "v", started=STARTED + 6, tags=tagged("A"))
    for store in stores:  # a person deletes a run, and a journal is lost
        client = MlflowClient(store)
        found = client.search_runs([client.get_experiment_by_name(name).experiment_id], "tags.mlip.stage = 'retrieval'")
        client.delete_run(found[0].info.run_id)
    (journals / "index_inputs/rsna/journal.json").unlink()
    (more, *_, models), last = synced()
    assert (more > 0, models) == (True, [f"{name}-v 2"])
    assert sorted(run["status"] for (title, _), run in last[1].items() if title == "phrase_grounding/v/rsna") == [
        "FINISHED", "KILLED"]  # fmt: skip
    again, held = synced()
    assert (again[:2], held) == ((0, 0), last)


def test_a_stage_logs_live_into_postgresql_and_sync_has_nothing_to_add(postgresql_server, live_at, tmp_path, request):
    live_at(postgresql_server.uri)
    path = tmp_path / "results/sync/live/journal.json"
    with track("sync", "live", journal=path, settings=Example(), inputs={}) as run:
        for step in range(50):
            run.log_metrics({"loss": 1 / (step + 1)}, step)
        eventually(lambda: run.live.sent == 50)
    run.live._thread.join()
    assert run.live.failures == 0
    (before,) = content(postgresql_server.uri, request.node.name)[1].values()
    assert before["status"] == "FINISHED"
    synchronise(tmp_path / "results", postgresql_server.uri, request.node.name)
    (after,) = content(postgresql_server.uri, request.node.name)[1].values()
    assert after["metrics"] == before["metrics"]
    assert [step for key, step, *_ in after["metrics"]] == list(range(50))
    assert json.loads(path.read_text())["tags"]["mlflow_run"].startswith(postgresql_server.uri)


@pytest.fixture
def workspaces(write, choose, metric, tmp_path):
    """Three workspaces of one project, which read the same data; two of them chose the same weights."""
    folders = [tmp_path / f"workspace_{number}/results" for number in range(3)]
    for number, folder in enumerate(folders):
        own = str(max(number, 1))
        whole_tree(write, choose, metric, STARTED + 1000 * number, f"call {number}", own)
        folder.parent.mkdir()
        (tmp_path / "results").rename(folder)
    return folders


def all_at_once(works):
    """What each returned; they begin together."""
    together = threading.Barrier(len(works))

    def begin(work):
        together.wait(60)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(begin, works))


WAITS = (
    "import pathlib, sys, time; import stages.sync.synchronise; from stages.sync.__main__ import main\n"
    "pathlib.Path(sys.argv[1]).touch()\n"
    "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.01)\n"
    "main(sys.argv[3:])"
)


def processes_at_once(folder: Path, arguments) -> list[str]:
    """Run a sync with each of the arguments, a process each, which begin together; return what stands in stderr."""
    folder.mkdir()
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WAITS, folder / str(number), folder / "go", *map(str, each)],
                    cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                )
            )
            for number, each in enumerate(arguments)
        ]  # fmt: skip
        eventually(lambda: len(list(folder.iterdir())) == len(processes))
        (folder / "go").touch()
        said = [process.communicate(timeout=SECONDS)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return [line for each in said for line in each.splitlines()]


def without_shared(held):
    """Two workspaces with the same weights: one of them has their files, and one, the last, its tags on the version."""
    tags, runs, data, models, deleted = held
    for run in runs.values():
        run["artifacts"] = [each for each in run["artifacts"] if not each.startswith("model/")]
    return tags, runs, data, deleted, {name.rpartition("-")[2]: {*versions} for name, (*_, versions) in models.items()}


def test_workspaces_that_sync_at_once_end_as_one_after_the_other(server, workspaces, tmp_path, request):
    def sync(folder, experiment):
        return lambda: synchronise(folder, server.uri, experiment, grace_hours=0.0)

    name = request.node.name.partition("[")[0]
    for folder in workspaces:
        assert sync(folder, f"{name}-alone")().problems == []
    alone = without_shared(content(server.uri, f"{name}-alone"))
    for number in range(ROUNDS):
        experiment = f"{name}{number}"
        options = ("--store", server.uri, "--experiment", experiment, "--grace", 0)
        lines = processes_at_once(tmp_path / f"round {number}", [("--journals", each, *options) for each in workspaces])
        assert [line for line in lines if "also holds runs of this workspace" not in line] == []
        assert without_shared(content(server.uri, experiment)) == alone
        assert sync(workspaces[number % 3], experiment)().new == 0


def test_two_syncs_of_one_workspace_beside_a_stage_that_logs_live(server, live_at, workspaces, request):
    name, folder = request.node.name, workspaces[0]
    live_at(server.uri)
    sync = lambda: synchronise(folder, server.uri, name)  # noqa: E731
    for number in range(ROUNDS):
        path = folder / f"sync/live{number}/journal.json"
        with track("sync", f"live{number}", journal=path, settings=Example(), inputs={}) as run:

            def log(run=run):
                for step in range(200):
                    run.log_metrics({"loss": 1 / (step + 1), f"other{step % 7}": step}, step)

            _, *summaries = all_at_once([log, sync, sync])
            eventually(lambda run=run: run.live.sent >= 400 and not run.live._waiting)
        run.live._thread.join()
        assert [each.problems + each.warnings for each in summaries] == [[], []]
        assert run.live.failures == 0
    assert sync().problems == []
    runs = content(server.uri, name)[1]  # fails where a run is twice
    live = [run for (run_name, _), run in runs.items() if run_name.startswith("sync/live")]
    assert [(run["status"], len(run["metrics"])) for run in live] == ROUNDS * [("FINISHED", 400)]
    assert sync().unchanged == len(runs)

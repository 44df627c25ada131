"""The tree in a real store: calls of the workflow, scattered stages, several workspaces, runs that are there twice."""

import json
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading

import pytest

from stages.common.errors import InputError
from stages.common.files.code_digest import ROOT
from stages.sync.quiet_mlflow import MlflowClient, ViewType
from stages.sync.synchronise import synchronise

STARTED = 1_700_000_000_000


@pytest.fixture
def store(database, request):
    """(sync of a results folder, the active runs of this test's experiment by key)."""
    uri, name = f"sqlite:///{database}", request.node.name

    def sync(results, **options):
        return synchronise(results, uri, name, results.parent / "artifacts", **({"grace_hours": 1e9} | options))

    def runs():
        client = MlflowClient(uri)
        found = client.search_runs([client.get_experiment_by_name(name).experiment_id], max_results=1000)
        keys = [run.data.tags.get("mlip.key") for run in found]
        assert len(set(keys)) == len(keys), "a run twice"
        return dict(zip(keys, found, strict=True))

    return sync, runs


def named(runs):
    return {run.info.run_name: run for run in runs.values()}


def tagged(call, **more):
    return {"host": "node1", "invocation": call, "project": "mlip"} | more


def test_the_tree_of_two_calls_and_back_after_a_loss(write, store, tmp_path):
    sync, runs = store
    write("index_inputs", "rsna", tags=tagged("A"), artifacts=[{"path": "f.arrow", "sha256": "abc", "bytes": 1}])
    write("pretrain", "mlip", tags=tagged("A"), started=STARTED + 1, inputs={"files": "abc"})
    sync(tmp_path / "results")
    (parent,) = [run for run in runs().values() if run.data.tags.get("mlip.invocation") == "A"]
    children = [run for run in runs().values() if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(run.info.run_name for run in children) == ["index_inputs/rsna", "pretrain/mlip"]
    assert parent.info.run_name == "run of 2023-11-14 22:13 UTC"
    (data,) = named(runs())["pretrain/mlip"].inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest, data.tags[0].value) == ("index_inputs/rsna/f.arrow", "abc", "files")
    # the second call replaces one of the two
    folder = tmp_path / "results" / "pretrain" / "mlip"
    (folder / "earlier_journals").mkdir()
    (folder / "journal.json").rename(folder / "earlier_journals" / f"journal_{STARTED + 1}.json")
    write("pretrain", "mlip", tags=tagged("B"), started=STARTED + 90_000, ended=STARTED + 99_000)
    summary = sync(tmp_path / "results")
    assert (summary.new, summary.updated, summary.unchanged) == (
        2,
        3,
        0,
    )  # A is no longer the newest, and the kept stage has moved
    assert sync(tmp_path / "results").unchanged == 5

    def tree():
        names = {run.info.run_id: run.data.tags.get("mlip.invocation") for run in runs().values()}
        return sorted(
            (
                run.info.run_name,
                run.info.start_time,
                run.info.status,
                names.get(run.data.tags.get("mlflow.parentRunId")),
            )
            for run in runs().values()
        )

    before = tree()
    assert [(name, parent) for name, _, _, parent in before if parent] == [
        ("index_inputs/rsna", "B"),
        ("pretrain/mlip", "A"),
        ("pretrain/mlip", "B"),
    ]
    client = MlflowClient(summary.uri)
    for run in runs().values():
        client.set_tag(run.info.run_id, "mlip.key", f"lost {run.info.run_id}")
        client.delete_run(run.info.run_id)
    sync(tmp_path / "results")
    assert tree() == before


def test_a_scattered_stage_grows_into_one_run(write, store, tmp_path, metric):
    sync, runs = store

    def part(number, **changes):
        place = write("dicom_to_arrow", f"rsna/{number}", folder="dicom_to_arrow/rsna/shards", **changes)
        (place / "journal.json").rename(place / f"journal_{number}.json")

    part(0, metrics=[metric(0, "images", 5.0)])
    sync(tmp_path / "results")
    (first,) = runs().values()
    part(1, metrics=[metric(0, "images", 7.0)], started=STARTED + 5)
    write("dicom_to_arrow", "rsna", started=STARTED + 50, ended=STARTED + 60, metrics=[metric(0, "images", 12.0)])
    sync(tmp_path / "results")
    (only,) = runs().values()
    assert only.info.run_id == first.info.run_id
    assert (only.info.status, only.info.end_time) == ("FINISHED", STARTED + 60)
    history = MlflowClient(sync(tmp_path / "results").uri).get_metric_history(only.info.run_id, "parts/images")
    assert [(each.step, each.value) for each in history] == [(0, 5.0), (1, 7.0)]


def test_two_workspaces_share_an_experiment_and_close_none_of_each_other_s_runs(write, store, tmp_path):
    sync, runs = store
    write(status="RUNNING", ended=None)
    shutil.copytree(tmp_path / "results", tmp_path / "other" / "results")
    sync(tmp_path / "results")
    (tmp_path / "other/results/pretrain/mlip/journal.json").write_text(
        json.dumps(json.loads((tmp_path / "results/pretrain/mlip/journal.json").read_text()) | {"started": STARTED + 7})
    )
    sync(tmp_path / "other" / "results", grace_hours=0.0)  # the end of the other's workflow
    assert sorted(run.info.status for run in runs().values()) == ["KILLED", "RUNNING"]
    assert [run.data.tags["mlip.latest"] for run in runs().values()] == ["true", "true"]


def test_a_run_that_a_stage_and_a_sync_both_created_becomes_one(write, store, tmp_path):
    sync, runs = store
    write()
    uri = sync(tmp_path / "results").uri
    client = MlflowClient(uri)
    ((key, run),) = runs().items()
    client.create_run(run.info.experiment_id, start_time=STARTED, tags={"mlip.key": key})
    sync(tmp_path / "results")
    (left,) = runs().values()
    assert (left.info.status, len(client.get_metric_history(left.info.run_id, "loss"))) == ("FINISHED", 3)
    assert sync(tmp_path / "results").unchanged == 1


def test_a_live_run_is_completed_and_not_repeated(write, store, tmp_path, metric):
    """The server got the start and one number, then nothing more."""
    sync, runs = store
    write()
    uri = sync(tmp_path / "results").uri
    ((key, run),) = runs().items()
    client = MlflowClient(uri)
    client.set_tag(run.info.run_id, "mlip.key", "another")
    client.delete_run(run.info.run_id)
    live = client.create_run(run.info.experiment_id, start_time=STARTED, tags={"mlip.key": key})
    client.log_metric(live.info.run_id, "loss", 1.0, STARTED, 0)
    assert sync(tmp_path / "results").new == 0
    (only,) = runs().values()
    assert only.info.run_id == live.info.run_id
    history = client.get_metric_history(live.info.run_id, "loss")
    assert [(each.step, each.value, each.timestamp) for each in history] == [
        (step, metric(step)["value"], STARTED + step) for step in range(3)
    ]


def test_a_locked_database_is_one_line_and_the_next_sync_does_everything(write, store, tmp_path, database, monkeypatch):
    sync, runs = store
    write()
    sync(tmp_path / "results")
    write("summarize", "")
    # SQLAlchemy gives sqlite3 its default of 5 s to wait for a lock: not in a test
    connect = sqlite3.dbapi2.connect
    monkeypatch.setattr(
        sqlite3.dbapi2, "connect", lambda *args, **options: connect(*args, **(options | {"timeout": 0.1}))
    )
    other = connect(database)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(
            InputError, match=r"the store failed \(.*locked.*\); repair it, or move it aside .*; then sync again"
        ):
            sync(tmp_path / "results")
    finally:
        other.close()
    assert sync(tmp_path / "results").new == 1
    assert len(runs()) == 2


def test_a_full_disk_for_the_database_is_one_line_and_the_next_sync_does_everything(write, store, tmp_path, database):
    """In a process whose files may not grow: a real error of the disk, in the middle of SQLite's transaction."""
    sync, runs = store
    write()
    uri = sync(tmp_path / "results").uri
    metrics = [{"key": "loss", "value": float(step), "step": step, "timestamp": STARTED + step} for step in range(3000)]
    write("summarize", "", metrics=metrics)
    (experiment,) = {run.info.experiment_id for run in runs().values()}
    name = MlflowClient(uri).get_experiment(experiment).name
    arguments = ["--journals", str(tmp_path / "results"), "--store", uri, "--experiment", name]
    done = subprocess.run(
        [sys.executable, "-m", "stages.sync", *arguments, "--artifacts", str(tmp_path / "artifacts")],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if name != "MLFLOW_LOGGING_LEVEL"},  # of other tests
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (database.stat().st_size + 4096,) * 2),
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert re.search(r"the store failed \(.*disk.*\); repair it, or move it aside .*; then sync again", done.stderr)
    sync(tmp_path / "results")
    assert sorted(len(MlflowClient(uri).get_metric_history(each, "loss")) for each in run_ids(runs())) == [3, 3000]
    assert sync(tmp_path / "results").unchanged == 2


def run_ids(runs):
    return [run.info.run_id for run in runs.values()]


def test_a_full_disk_for_the_files_is_a_warning_and_tried_again(write, store, tmp_path, monkeypatch):
    sync, runs = store
    write(files=[("report.html", "<p>", True)])
    with monkeypatch.context() as patch:
        patch.setattr(
            MlflowClient, "log_dict", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
        summary = sync(tmp_path / "results")
    assert summary.warnings == [
        "pretrain/mlip: files not copied into MLflow ([Errno 28] No space left on device); sync again"
    ]
    (run,) = runs().values()
    assert (run.info.status, run.data.metrics["loss"]) == ("FINISHED", pytest.approx(1 / 3))
    summary = sync(tmp_path / "results")
    assert (summary.updated, summary.warnings) == (1, [])
    assert sync(tmp_path / "results").unchanged == 1


def test_two_syncs_at_once_end_with_every_run_once(write, store, tmp_path):
    sync, runs = store
    for number in range(4):
        write(name=f"v{number}")
    sync(tmp_path / "results")
    for number in range(4, 8):
        write(name=f"v{number}")
    threads = [threading.Thread(target=sync, args=(tmp_path / "results",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs()) == 8
    assert all(len(run.data.tags["mlip.synced"]) == 64 for run in runs().values())


def test_the_store_and_the_experiment_follow_from_the_journals(write, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write(tags=tagged("A"))
    summary = synchronise(tmp_path / "results")
    assert summary.uri == f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(summary.uri)
    assert client.get_experiment_by_name("mlip").experiment_id == summary.experiment
    assert len(client.search_runs([summary.experiment], run_view_type=ViewType.ALL)) == 2

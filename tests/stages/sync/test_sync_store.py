"""Sync against a real SQLite store: once each, repaired if half there, never twice, and back after a loss."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param_name, _validate_tag_name
from store_snapshot import snapshot

from stages.common.errors import InputError
from stages.common.files.code_digest import ROOT
from stages.common.journal.journals import workspace_name
from stages.common.journal.mlflow_texts import mlflow_keys
from stages.sync import store as store_module
from stages.sync import synchronise as subject
from stages.sync.quiet_mlflow import MlflowClient, MlflowException
from stages.sync.synchronise import synchronise

STARTED = 1_700_000_000_000  # Unix milliseconds


@pytest.fixture
def sync(database, tmp_path, request):
    def run(**options):
        options = {"store": f"sqlite:///{database}", "experiment": request.node.name, "grace_hours": 1e9} | options
        return synchronise(tmp_path / "results", artifacts=tmp_path / "artifacts", **options)

    return run


@pytest.fixture
def runs(database, request):
    """Everything the store holds of this test's experiment, by run name and start."""

    def read():
        return snapshot(MlflowClient(f"sqlite:///{database}"), request.node.name)

    return read


def only(found):
    assert len(found) == 1
    return next(iter(found.values()))


def test_everything_of_a_journal_arrives(write, sync, runs, tmp_path, metric):
    nan = {"key": "loss", "value": "nan", "step": 4, "timestamp": STARTED + 4}
    write(
        metrics=[metric(0), metric(1, "auc(rsna)", 0.1 + 0.2), nan],
        files=[("report.html", "<p>", True), ("figures/phi.png", "png", True), ("weights.bin", "w", False)],
    )
    summary = sync()
    assert (summary.new, summary.updated, summary.unchanged) == (1, 0, 0)
    assert str(summary).startswith("imported 1 new, updated 0, unchanged 0 runs into sqlite:////")
    assert f"; open with: mlflow ui --backend-store-uri {summary.uri} (then http://127.0.0.1:5000/#/" in str(summary)
    found = runs()
    assert list(found) == [("pretrain/mlip", STARTED)]
    run = only(found)
    assert (run["status"], run["end"]) == ("FINISHED", STARTED + 5000)
    assert run["params"] == {"seed": "0", "prompts_0_": "(a)", "empty": ""}
    assert run["metrics"] == [("auc_rsna_", 1, STARTED + 1, 0.30000000000000004), ("loss", 0, STARTED, 1.0)]
    assert run["tags"]["mlflow.source.git.commit"] == "abc"
    assert run["tags"]["mlip.data"] == "d"
    assert run["tags"]["mlip.latest"] == "true"
    assert run["tags"]["metric_not_finite"] == "loss = nan at step 4"
    assert run["artifacts"] == ["files/figures/phi.png", "files/report.html", "manifest.json"]
    manifest = json.loads(next((tmp_path / "artifacts").rglob("manifest.json")).read_text())
    assert {each["path"] for each in manifest["artifacts"]} == {"report.html", "figures/phi.png", "weights.bin"}
    assert manifest["params"]["prompts[0]"] == "(a)"


def test_a_second_sync_writes_no_byte(write, sync, database, tmp_path):
    write()
    write(name="clip", status="FAILED", error="ValueError: it broke")
    write(name="random", status="RUNNING", ended=None)
    sync()

    def contents():
        files = [database, *sorted((tmp_path / "artifacts").rglob("*.json"))]
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    before = contents()
    summary = sync()
    assert (summary.new, summary.updated, summary.unchanged) == (0, 0, 3)
    assert contents() == before


def test_a_renamed_project_is_told_where_the_runs_of_this_workspace_are_shown_too(
    write, sync, database, tmp_path, request, monkeypatch
):
    write()
    names = [f"{request.node.name}-{number}" for number in range(3)]
    assert sync(experiment=names[0]).warnings == sync(experiment=names[0]).warnings == []
    one = sync(experiment=names[1])
    assert one.new == 1
    (warning,) = one.warnings
    assert warning.startswith(f"experiment {names[0]!r} also holds runs of this workspace")
    assert workspace_name(tmp_path / "results") in warning
    told = sync(experiment=names[2]).warnings
    assert sorted(line.split("'")[1] for line in told) == names[:2]
    client = MlflowClient(f"sqlite:///{database}")
    for name in names[:2]:
        for run in client.search_runs([client.get_experiment_by_name(name).experiment_id]):
            client.delete_run(run.info.run_id)
    assert sync(experiment=names[2]).warnings == []
    client.delete_experiment(client.get_experiment_by_name(names[2]).experiment_id)
    assert sync(experiment=f"{names[0]} again").warnings == []

    def refuse(*_, **__):
        raise MlflowException("PERMISSION_DENIED")

    monkeypatch.setattr(MlflowClient, "search_experiments", refuse)
    assert sync(experiment=f"{names[0]} later").warnings == []


def test_a_workspace_with_a_quote_in_its_name_is_found_too(write, database, tmp_path, request):
    write()
    uri, folder = f"sqlite:///{database}", tmp_path / "o'brien"
    folder.mkdir()
    (tmp_path / "results").rename(folder / "results")
    first, second = (
        synchronise(folder / "results", uri, f"{request.node.name}-{n}", tmp_path / "artifacts") for n in (1, 2)
    )
    assert first.warnings == []
    assert len(second.warnings) == 1


def test_more_than_a_batch_of_everything_arrives(write, sync, runs, metric):
    write(metrics=[metric(step, f"m{step % 7}") for step in range(2500)], params={f"p{n}": str(n) for n in range(250)})
    sync()
    assert only(runs())["metrics"] == sorted((f"m{n % 7}", n, STARTED + n, 1.0 / (n + 1)) for n in range(2500))
    assert only(runs())["params"] == {f"p{n}": str(n) for n in range(250)}


def test_tags_from_a_workspace_that_moved_are_written_in_batches_too(write, sync, runs, database, tmp_path, request,
                                                                    monkeypatch):  # fmt: skip
    write(tags={f"t{number}": "x" for number in range(250)})
    sync()
    before = only(runs())["tags"]
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "results").rename(moved / "results")
    real, sizes = MlflowClient.log_batch, []
    monkeypatch.setattr(
        MlflowClient, "log_batch", lambda *given, tags: (sizes.append(len(tags)), real(*given, tags=tags))
    )
    place = {"store": f"sqlite:///{database}", "experiment": request.node.name, "artifacts": tmp_path / "artifacts"}
    summary = synchronise(moved / "results", grace_hours=1e9, **place)
    assert (summary.new, summary.updated) == (0, 1)
    now = only(runs())["tags"]
    assert {key for key in now | before if now.get(key) != before.get(key)} == {"mlip.workspace"}
    assert max(sizes) == store_module.TEXTS_A_BATCH


def test_a_sync_cut_off_at_any_call_is_repaired_by_the_next(write, sync, monkeypatch, request, metric):
    """The store's client fails at its n-th writing call, for every n; the next sync ends where an unbroken one does."""
    monkeypatch.setattr(store_module, "METRICS_A_BATCH", 2)
    monkeypatch.setattr(store_module, "TEXTS_A_BATCH", 6)
    write(metrics=[metric(step, f"m{step % 2}") for step in range(5)], files=[("a.txt", "a", True)])
    client = MlflowClient(sync(experiment="unbroken").uri)
    expected = snapshot(client, "unbroken")
    calls = 0
    while True:
        experiment = f"{request.node.name}-{calls}"
        with monkeypatch.context() as patch:
            patch.setattr(subject, "MlflowClient", lambda uri, limit=calls: Failing(uri, limit))
            try:
                sync(experiment=experiment)
                break
            except PowerCutError:
                pass
        assert sync(experiment=experiment).new <= 1
        assert snapshot(client, experiment) == expected, f"cut off at writing call {calls}"
        calls += 1
    assert calls >= 10


class PowerCutError(Exception):
    pass


class Failing(MlflowClient):
    """A client whose n-th writing call never happens."""

    def __init__(self, uri, limit):
        super().__init__(uri)
        self.left = limit

    def __getattribute__(self, name):
        if name.startswith(("create_", "log_", "set_", "update_")):
            if self.left == 0:
                raise PowerCutError
            self.left -= 1
        return super().__getattribute__(name)


def test_a_growing_run_is_one_run_with_each_metric_once(write, sync, runs, metric):
    for end in (1, 2, 5):
        write(status="RUNNING", ended=None, metrics=[metric(step) for step in range(end)])
        sync()
        assert only(runs())["status"] == "RUNNING"
        assert len(only(runs())["metrics"]) == end
    write(metrics=[metric(step) for step in range(6)])
    summary = sync()
    assert (summary.new, summary.updated) == (0, 1)
    run = only(runs())
    assert (run["status"], run["end"], len(run["metrics"])) == ("FINISHED", STARTED + 5000, 6)


def test_a_zombie_is_closed_at_its_last_sign_and_revived_if_it_lives(write, sync, runs):
    write(status="RUNNING", ended=None)
    sync(grace_hours=0.0)
    assert (only(runs())["status"], only(runs())["end"]) == ("KILLED", STARTED + 2)
    write()
    sync(grace_hours=0.0)
    assert (only(runs())["status"], only(runs())["end"]) == ("FINISHED", STARTED + 5000)


def test_a_run_whose_journal_was_overwritten_is_closed_and_no_longer_the_latest(write, sync, runs):
    write(status="RUNNING", ended=None)
    write(name="clip")
    sync()
    write(started=STARTED + 9000, ended=STARTED + 9500)  # the same place: the first journal is gone
    summary = sync()
    assert (summary.new, summary.updated, summary.unchanged) == (1, 1, 1)
    found = runs()
    old, new = found["pretrain/mlip", STARTED], found["pretrain/mlip", STARTED + 9000]
    assert (old["status"], old["end"], old["tags"]["mlip.latest"]) == ("KILLED", STARTED + 2, "false")
    assert (new["status"], new["tags"]["mlip.latest"]) == ("FINISHED", "true")
    assert found["pretrain/clip", STARTED]["tags"]["mlip.latest"] == "true"
    assert sync().unchanged == 3


def test_two_running_copies_of_one_name_both_live_while_both_journals_are_there(write, sync, runs):
    write(folder="here", status="RUNNING", ended=None)
    write(folder="there", status="RUNNING", ended=None, started=STARTED + 9000)
    sync()
    assert [run["status"] for run in runs().values()] == ["RUNNING", "RUNNING"]
    assert sync().unchanged == 2


def test_a_param_that_the_store_has_is_left_as_it_is(write, sync, runs):
    """MLflow refuses to change a param; the rest of the run must still arrive, and the manifest has the journal's."""
    write(params={"seed": "0"}, metrics=[])
    sync()
    write(params={"seed": "0.0", "width": "8"})
    assert sync().updated == 1
    assert only(runs())["params"] == {"seed": "0", "width": "8"}
    assert len(only(runs())["metrics"]) == 3


def test_a_run_closed_for_want_of_its_journal_is_corrected_when_it_is_back(write, sync, runs):
    place = write(status="RUNNING", ended=None)
    write(name="clip")
    sync()
    hidden = place.with_name("hidden")
    (place / "journal.json").rename(hidden)
    sync(grace_hours=0.0)
    assert runs()["pretrain/mlip", STARTED]["status"] == "KILLED"
    hidden.rename(place / "journal.json")
    sync()
    assert runs()["pretrain/mlip", STARTED]["status"] == "RUNNING"


def test_a_run_that_a_person_deleted_stays_deleted(write, sync, database, request):
    write()
    sync()
    client = MlflowClient(f"sqlite:///{database}")
    identifier = client.get_experiment_by_name(request.node.name).experiment_id
    client.delete_run(client.search_runs([identifier])[0].info.run_id)
    summary = sync()
    assert (summary.new, summary.updated, summary.unchanged) == (0, 0, 1)
    assert client.search_runs([identifier]) == []


def test_runs_of_others_in_the_experiment_are_left_alone(write, sync, database, request, runs):
    write()
    sync()
    client = MlflowClient(f"sqlite:///{database}")
    identifier = client.get_experiment_by_name(request.node.name).experiment_id
    client.create_run(identifier, run_name="mine", start_time=1)
    before = runs()
    assert sync(grace_hours=0.0).unchanged == 1
    assert runs() == before


def test_a_published_file_that_changed_since_is_not_copied(write, sync, runs):
    place = write(files=[("a.txt", "a", True), ("b.txt", "b", True)])
    (place / "a.txt").write_text("of a later run")
    (place / "b.txt").unlink()
    summary = sync()
    assert only(runs())["artifacts"] == ["manifest.json"]
    assert [line.split(": ")[1].split(";")[0] for line in summary.warnings] == [
        "missing or changed since pretrain/mlip wrote it"
    ] * 2


def test_the_experiment_keeps_its_first_artifact_folder_and_says_so(write, sync, tmp_path, database, request):
    write()
    sync()
    experiment = MlflowClient(f"sqlite:///{database}").get_experiment_by_name(request.node.name)
    assert experiment.artifact_location == (tmp_path / "artifacts").as_uri()
    summary = synchronise(tmp_path / "results", f"sqlite:///{database}", request.node.name, tmp_path / "elsewhere")
    assert "delete the store and sync again" in summary.warnings[0]


def test_a_deleted_experiment_is_named_with_the_remedy(write, sync, database, request):
    write()
    sync()
    client = MlflowClient(f"sqlite:///{database}")
    client.delete_experiment(client.get_experiment_by_name(request.node.name).experiment_id)
    with pytest.raises(InputError, match="mlflow experiments restore --experiment-id"):
        sync()


def test_many_runs_are_read_page_by_page(write, sync, monkeypatch):
    for number in range(5):
        write(name=f"v{number}", metrics=[])
    sync()
    original = MlflowClient.search_runs

    def small_pages(self, *arguments, **options):
        return original(self, *arguments, **(options | {"max_results": 2}))

    monkeypatch.setattr(store_module.MlflowClient, "search_runs", small_pages)
    assert sync().unchanged == 5


def test_a_lost_store_comes_back_whole_and_quietly(write, tmp_path):
    """In a process of its own, as users run it: one line on standard output, none on standard error."""
    write(files=[("report.html", "<p>", True)])
    write(name="clip", status="FAILED", error="ValueError: it broke")
    results, database = tmp_path / "results", tmp_path / "own" / "mlflow.db"
    arguments = ["--journals", str(results), "--store", f"sqlite:///{database}", "--experiment", "lost"]

    def run():
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "stages.sync", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("imported 2 new, updated 0, unchanged 0 runs into sqlite:///")
        assert done.stdout.count("\n") == 1
        return snapshot(MlflowClient(f"sqlite:///{database}"), "lost")

    first = run()
    database.rename(database.with_name("lost.db"))
    assert run() == first


@settings(deadline=None)
@given(keys=st.lists(st.text(st.sampled_from("ab./ _-:([%é\n"), max_size=8) | st.text(max_size=300), max_size=6))
def test_mlflow_accepts_every_name(keys):
    for name in mlflow_keys(keys).values():
        _validate_metric_name(name)
        _validate_param_name(name)
        _validate_tag_name(name)

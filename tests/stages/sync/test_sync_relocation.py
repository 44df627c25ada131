"""A workspace that was copied or moved: its store names its own files, and those of the original stay as they are."""

import errno
import fcntl
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from store_snapshot import snapshot

from stages.common.errors import InputError
from stages.sync.quiet_mlflow import MlflowClient
from stages.sync.relocation import STORE, follow_move
from stages.sync.synchronise import synchronise

PROJECT = "chest"


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder, except locks, with its bytes and time."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock"]
    return {path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def sync(workspace: Path, **options):
    return synchronise(workspace / "results", experiment=PROJECT, grace_hours=1e9, **options)


def query(workspace: Path, text: str) -> list[tuple]:
    with closing(sqlite3.connect(workspace / "mlflow.db")) as connection:
        found = connection.execute(text).fetchall()
        connection.commit()
    return found


@pytest.fixture(scope="module")
def synced(tmp_path_factory) -> Path:
    """A workspace of two runs and a chosen model, in a store that was made there (seconds, so once)."""
    return tmp_path_factory.mktemp("sites") / "original é"


@pytest.fixture
def original(synced, write, choose, tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if not synced.exists():
        write(files=[("report.html", "<p>", True), ("figures/phi.png", "png", True)])
        choose()
        synced.mkdir()
        (tmp_path / "results").rename(synced / "results")
        sync(synced)
    return synced


@pytest.fixture
def copy(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "a copy's place", symlinks=True))


def locations(workspace: Path) -> list[str]:
    return [
        value
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri"))
        for (value,) in query(workspace, f"SELECT {column} FROM {table}")
        if "mlruns/0" not in value  # MLflow's own experiment, which nothing of ours uses
    ]


def test_a_copy_writes_nothing_into_the_original_and_everything_into_itself(original, copy):
    before = contents(original)
    untouched = locations(original)
    (copy / "results/pretrain/mlip/report.html").write_text("changed")  # no longer what its journal says
    summary = sync(copy)
    assert any("was moved or copied from" in line for line in summary.warnings)
    assert contents(original) == before
    assert locations(original) == untouched
    assert all(each.startswith(f"{copy.as_uri()}/mlflow_artifacts") for each in locations(copy))
    runs = snapshot(MlflowClient(summary.uri), PROJECT)
    assert runs["pretrain/mlip", 1_700_000_000_000]["artifacts"] == [
        "files/figures/phi.png", "files/report.html", "manifest.json",
    ]  # fmt: skip
    assert sync(copy).updated == 0
    assert sync(copy).warnings == []


def test_new_runs_and_models_of_a_copy_go_into_the_copy(original, copy, choose, tmp_path):
    before = contents(original)
    choose("bb", started=1_700_000_100_000, ended=1_700_000_105_000)
    shutil.rmtree(copy / "results/select_checkpoint/mlip")
    (tmp_path / "results/select_checkpoint/mlip").rename(copy / "results/select_checkpoint/mlip")
    assert sync(copy).models == [f"{PROJECT}-mlip 2"]
    assert contents(original) == before
    weights = sorted(path.read_text() for path in (copy / "mlflow_artifacts").rglob("model.safetensors"))
    assert weights == ["the weights aa", "the weights bb"]


def test_a_moved_workspace_is_whole_and_can_move_back(copy, tmp_path):
    sync(copy)
    moved = copy.rename(tmp_path / "elsewhere")
    summary = sync(moved)
    assert not copy.exists()
    assert all(each.startswith(moved.as_uri()) for each in locations(moved))
    found = snapshot(MlflowClient(summary.uri), PROJECT)
    assert all("manifest.json" in run["artifacts"] for run in found.values())
    moved.rename(copy)
    sync(copy)
    assert all(each.startswith(copy.as_uri()) for each in locations(copy))


@pytest.mark.parametrize("links", ["the workspace", "the database"])
def test_another_name_of_the_same_workspace_changes_nothing(copy, tmp_path, links):
    sync(copy)
    before = contents(copy)
    link = tmp_path / "link"
    if links == "the workspace":
        link.symlink_to(copy)
        assert sync(link).warnings == []
    else:
        link.symlink_to(copy / "mlflow.db")
        assert sync(copy, store=f"sqlite:///{link}").warnings == []
    assert contents(copy) == before


def test_a_store_of_an_earlier_version_is_known_by_its_default_folder(original, copy):
    before = contents(original)
    query(copy, f"DELETE FROM experiment_tags WHERE key = '{STORE}'")
    sync(copy)
    assert contents(original) == before
    assert all(each.startswith(copy.as_uri()) for each in locations(copy))
    assert query(copy, f"SELECT value FROM experiment_tags WHERE key = '{STORE}'") == [(str(copy / "mlflow.db"),)]


def test_a_copy_whose_files_are_elsewhere_is_refused_while_the_original_exists(copy, tmp_path):
    """`--artifacts` outside of the workspace: both databases would name the same folder."""
    first, shared = copy, tmp_path / "shared"
    shutil.rmtree(first / "mlflow_artifacts")
    (first / "mlflow.db").unlink()
    sync(first, artifacts=shared)
    second = Path(shutil.copytree(first, tmp_path / "second"))
    before, database = contents(shared), (second / "mlflow.db").read_bytes()
    with pytest.raises(InputError, match=r"a copy of .*mlflow\.db, whose runs keep their files in .*shared") as raised:
        sync(second, artifacts=shared)
    assert "delete the database: the next sync builds it again" in str(raised.value)
    assert (contents(shared), (second / "mlflow.db").read_bytes()) == (before, database)
    shutil.rmtree(first)  # now it was a move
    sync(second, artifacts=shared)
    assert {Path(each.removeprefix("file://")).is_relative_to(shared) for each in locations(second)} == {True}


def test_a_database_without_its_files_is_refused_and_a_new_one_is_made(original, copy):
    before = contents(original)
    shutil.rmtree(copy / "mlflow_artifacts")
    database = (copy / "mlflow.db").read_bytes()
    with pytest.raises(InputError, match=r"without the files of its runs .*; copy .* there, or delete the database"):
        sync(copy)
    assert (copy / "mlflow.db").read_bytes() == database
    assert contents(original) == before
    (copy / "mlflow.db").unlink()
    assert sync(copy).new == 2
    assert contents(original) == before


def test_files_that_a_copy_lacks_are_published_again(original, copy):
    before = contents(original)
    lost = next((copy / "mlflow_artifacts").rglob("phi.png")).parents[3]
    shutil.rmtree(lost)
    summary = sync(copy)
    runs = snapshot(MlflowClient(summary.uri), PROJECT)
    assert "files/figures/phi.png" in runs["pretrain/mlip", 1_700_000_000_000]["artifacts"]
    assert contents(original) == before


def test_a_copy_by_hard_links_is_refused(original, copy):
    before = contents(original)
    (copy / "mlflow.db").unlink()
    os.link(original / "mlflow.db", copy / "mlflow.db")
    try:
        with pytest.raises(InputError, match="a hard link to"):
            sync(copy)
    finally:
        (copy / "mlflow.db").unlink()
    assert contents(original) == before


def test_a_copied_workspace_on_one_shared_store_rewrites_no_files(original, copy, tmp_path):
    """The runs are the same executions: they are shown once, and their files stay as they are."""
    store = f"sqlite:///{shutil.copytree(original, tmp_path / 'shared')}/mlflow.db"
    sync(original, store=store)
    before = contents(tmp_path / "shared" / "mlflow_artifacts")
    assert sync(copy, store=store).new == 0
    assert contents(tmp_path / "shared" / "mlflow_artifacts") == before


def test_an_original_that_cannot_be_looked_at_counts_as_gone(copy, tmp_path, monkeypatch):
    """It lies below the closed home of somebody else."""
    closed = tmp_path / "closed"
    real = os.stat

    def stat(path, *args, **options):
        if str(path).startswith(str(closed)):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **options)

    query(copy, f"UPDATE experiment_tags SET value = '{closed / 'mlflow.db'}' WHERE key = '{STORE}'")
    monkeypatch.setattr(os, "stat", stat)
    (warning,) = follow_move(copy / "mlflow.db", copy / "mlflow_artifacts")
    assert f"was moved or copied from {closed}" in warning


def test_a_former_home_below_another_keeps_its_own_files(copy, tmp_path):
    """The workspace was moved twice, and an experiment of each place is left."""
    sync(copy)
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    artifacts = copy / "mlflow_artifacts"
    first = artifacts.rename(copy / "first")
    shutil.copytree(first, artifacts)
    add = MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")
    second = add.create_experiment("second", artifact_location=(inner / "mlflow_artifacts").as_uri())
    add.set_experiment_tag(second, STORE, str(inner / "mlflow.db"))
    query(copy, f"UPDATE experiments SET artifact_location = '{(outer / 'first').as_uri()}' WHERE name = '{PROJECT}'")
    query(copy, f"UPDATE experiment_tags SET value = '{outer / 'mlflow.db'}' WHERE key = '{STORE}' AND "
                f"experiment_id != '{second}'")  # fmt: skip
    query(copy, f"UPDATE runs SET artifact_uri = replace(artifact_uri, '{artifacts.as_uri()}', "
                f"'{(outer / 'first').as_uri()}')")  # fmt: skip
    assert len(follow_move(copy / "mlflow.db", artifacts)) == 2
    assert {name: place for name, place in query(copy, "SELECT name, artifact_location FROM experiments")
            if name != "Default"} == {PROJECT: first.as_uri(), "second": artifacts.as_uri()}  # fmt: skip
    runs = [place for (place,) in query(copy, "SELECT artifact_uri FROM runs")]
    assert all(place.startswith(f"{first.as_uri()}/") for place in runs)


def test_a_move_that_is_cut_off_leaves_the_database_as_it_was(original, copy, monkeypatch):
    from stages.sync import relocation as subject

    def cut(*_):
        raise sqlite3.OperationalError("disk I/O error")

    before = locations(copy)
    with monkeypatch.context() as patch:
        patch.setattr(subject, "_starts", _failing_after(subject._starts, 1, cut))
        with pytest.raises(InputError, match="the store failed"):
            sync(copy)
    assert locations(copy) == before == locations(original)
    sync(copy)
    assert all(each.startswith(copy.as_uri()) for each in locations(copy))


def _failing_after(function, calls, cut):
    left = [calls]

    def called(*arguments):
        left[0] -= 1
        return cut() if left[0] < 0 else function(*arguments)

    return called


def test_a_database_without_locks_is_not_to_be_deleted(tmp_path, monkeypatch):
    """The remedy of a damaged store would lose nothing here, but would help nobody either."""
    database = tmp_path / "mlflow.db"
    database.write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match=r"the store failed \(file is not a database\); repair it, or move it aside"):
        follow_move(database, tmp_path / "mlflow_artifacts")

    def lacking(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", lacking)
    with pytest.raises(InputError, match="its file system has no locks: name a server by MLFLOW_TRACKING_URI"):
        follow_move(database, tmp_path / "mlflow_artifacts")

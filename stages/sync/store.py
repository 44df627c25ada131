"""Bring an MLflow store into agreement with the journals: add what is missing, touch nothing that agrees."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from stages.common.atomic_files import sha256_of
from stages.common.errors import InputError
from stages.sync.quiet_mlflow import Metric, MlflowClient, Param, Run, RunTag, ViewType
from stages.sync.run_records import RunRecord, closed

_METRICS_A_BATCH = 1000  # MLflow's limits
_TEXTS_A_BATCH = 100
_SYNCED = "mlip.synced"  # digest of the record; written last, so a run without it was cut off half-way
_LATEST = "mlip.latest"

Item = TypeVar("Item")


@dataclass
class Changes:
    """Run ids by what happened to them, how many runs there are, and what could not be done."""

    new: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)
    total: int = 0
    warnings: list[str] = field(default_factory=list)


def open_experiment(client: MlflowClient, name: str, artifacts: Path | None) -> tuple[str, list[str]]:
    """Id of the experiment, created if absent, and warnings.

    `artifacts` is its folder, explicit because MLflow would freeze it to the first process's working folder; None lets
    a remote server choose.
    """
    location = artifacts and artifacts.resolve().as_uri()
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return client.create_experiment(name, artifact_location=location), []
    if experiment.lifecycle_stage != "active":
        raise InputError(
            f"experiment {name!r} was deleted in the store; run `mlflow experiments restore --experiment-id "
            f"{experiment.experiment_id}`, or give another --experiment"
        )
    if location in (None, experiment.artifact_location):
        return experiment.experiment_id, []
    return experiment.experiment_id, [
        f"experiment {name!r} keeps its artifacts in {experiment.artifact_location}, as when it was created, not in "
        f"{location}; to move them delete the store and sync again"
    ]


def import_runs(
    client: MlflowClient, experiment: str, records: Sequence[tuple[RunRecord, Path]], now: int, grace: int
) -> Changes:
    """Make the experiment hold each record (with the folder of its journal) exactly once."""
    changes = Changes()
    present = _runs_by_key(client, experiment)
    for record, folder in records:
        run = present.get(record.key)
        if run is None:
            # The key comes with the creation, in one transaction: no crash leaves a run that is not found again.
            run = client.create_run(
                experiment, start_time=record.started, tags={"mlip.key": record.key}, run_name=record.run_name
            )
            changes.new.add(run.info.run_id)
        elif run.info.lifecycle_stage != "active" or _agrees(run, record):
            continue  # a run that a person deleted stays deleted
        else:
            changes.updated.add(run.info.run_id)
        changes.warnings += _complete(client, run, record, folder)
    changes.total = len(present) + len(changes.new)
    _close_lost_runs(client, experiment, {record.key for record, _ in records}, now, grace, changes)
    _mark_latest(client, experiment, changes)
    return changes


def _runs_by_key(client: MlflowClient, experiment: str, view: int = ViewType.ALL) -> dict[str, Run]:
    """Every run that a sync imported, oldest first; runs that others logged are none of ours."""
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment], run_view_type=view, max_results=1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            break
    ours = [run for run in runs if "mlip.key" in run.data.tags]
    ours.sort(key=lambda run: (run.info.start_time, run.data.tags["mlip.key"]))
    return {run.data.tags["mlip.key"]: run for run in ours}


def _agrees(run: Run, record: RunRecord) -> bool:
    return run.data.tags.get(_SYNCED) == record.digest() and run.info.status == record.status


def _complete(client: MlflowClient, run: Run, record: RunRecord, folder: Path) -> list[str]:
    """Write what the run lacks, its digest last; return warnings."""
    run_id = run.info.run_id
    params = [Param(key, value) for key, value in record.params.items() if key not in run.data.params]
    for part in _chunks(params, _TEXTS_A_BATCH):
        client.log_batch(run_id, params=part)
    held = {
        (metric.key, metric.value, metric.timestamp, metric.step)
        for key in run.data.metrics
        for metric in client.get_metric_history(run_id, key)
    }
    metrics = [Metric(*metric) for metric in dict.fromkeys(record.metrics) if metric not in held]
    for part in _chunks(metrics, _METRICS_A_BATCH):
        client.log_batch(run_id, metrics=part)
    client.log_dict(run_id, record.manifest, "manifest.json")
    warnings = _publish(client, run_id, record, folder)
    if record.status == "RUNNING":
        client.update_run(run_id, status=record.status)
    else:
        client.set_terminated(run_id, status=record.status, end_time=record.ended)
    tags = [RunTag(key, value) for key, value in record.tags.items()] + [RunTag(_SYNCED, record.digest())]
    for part in _chunks(tags, _TEXTS_A_BATCH):
        client.log_batch(run_id, tags=part)
    return warnings


def _publish(client: MlflowClient, run_id: str, record: RunRecord, folder: Path) -> list[str]:
    """Copy the artifacts that the stage released, if they are still what it wrote."""
    warnings = []
    for artifact in record.manifest["artifacts"]:
        if not artifact.get("publish"):
            continue
        path = folder / artifact["path"]
        if not path.is_file() or sha256_of(path) != artifact["sha256"]:
            warnings.append(f"{path}: gone or changed since {record.run_name} wrote it; not copied into MLflow")
            continue
        parents = [part for part in PurePosixPath(artifact["path"]).parent.parts if part not in ("..", "/")]
        client.log_artifact(run_id, str(path), artifact_path="/".join(["files", *parents]))
    return warnings


def _close_lost_runs(
    client: MlflowClient, experiment: str, journals: set[str], now: int, grace: int, changes: Changes
) -> None:
    """End the runs whose journal is gone: overwritten by a newer run of the same name, or deleted."""
    runs = _runs_by_key(client, experiment, ViewType.ACTIVE_ONLY)
    newest = {_place(run): key for key, run in runs.items()}
    for key, run in runs.items():
        if run.info.status != "RUNNING" or key in journals:
            continue
        history = [each for name in run.data.metrics for each in client.get_metric_history(run.info.run_id, name)]
        last_sign = max([run.info.start_time, *(metric.timestamp for metric in history)])
        superseded = newest[_place(run)] != key
        status, ended = closed("RUNNING", None, last_sign, now, 0 if superseded else grace)
        if status != "RUNNING":
            client.set_terminated(run.info.run_id, status=status, end_time=ended)
            changes.updated.add(run.info.run_id)


def _mark_latest(client: MlflowClient, experiment: str, changes: Changes) -> None:
    """`mlip.latest` is true on the newest run of each stage and name, false on the older ones."""
    runs = _runs_by_key(client, experiment, ViewType.ACTIVE_ONLY)
    newest = {_place(run): key for key, run in runs.items()}
    for key, run in runs.items():
        latest = "true" if newest[_place(run)] == key else "false"
        if run.data.tags.get(_LATEST) != latest:
            client.set_tag(run.info.run_id, _LATEST, latest)
            if run.info.run_id not in changes.new:
                changes.updated.add(run.info.run_id)


def _place(run: Run) -> tuple[str | None, str | None]:
    return run.data.tags.get("mlip.stage"), run.data.tags.get("mlip.name")


def _chunks(items: list[Item], size: int) -> Iterator[list[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))

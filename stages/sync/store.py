"""Synchronisation of an MLflow store with the journals: add what is missing, leave alone what agrees."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from ..common.errors import InputError
from ..common.files.atomic_files import sha256_of
from ..common.journal.mlflow_texts import (
    KEY,
    LATEST,
    METRICS_A_BATCH,
    NAME,
    STAGE,
    SYNCED,
    TEXTS_A_BATCH,
    WORKSPACE,
)
from .calls import calls_at_once, side_by_side
from .groups import kept_above, remove_empty_groups
from .quiet_mlflow import (
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    MlflowClient,
    MlflowException,
    PagedList,
    Param,
    Run,
    RunTag,
    ViewType,
)
from .refusals import refused
from .run_records import InputData, RunRecord, closed

_PARENT = "mlflow.parentRunId"
_FOREIGN_GRACE = 24 * 3_600_000  # ms of silence after which a run that no workspace owns counts as dead
_DIGEST_LENGTH = 36  # MLflow's limit for data sets

Item = TypeVar("Item")


@dataclass
class Changes:
    """Run ids by what happened to them, the number of runs, and what could not be done."""

    new: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)
    total: int = 0
    ids: dict[str, str] = field(default_factory=dict)  # run ids by key
    warnings: list[str] = field(default_factory=list)


def open_experiment(client: MlflowClient, name: str, artifacts: Path | None) -> tuple[str, list[str]]:
    """Return the id of the experiment, created if absent, and warnings.

    `artifacts` is its folder, explicit because MLflow would freeze it to the first process's working folder; None lets
    a remote server choose. Raises InputError where the experiment was deleted.
    """
    location = None if artifacts is None else artifacts.resolve().as_uri()
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name, artifact_location=location), []
        except MlflowException as error:
            experiment = client.get_experiment_by_name(name)  # another writer was faster
            if experiment is None or error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    if experiment.lifecycle_stage != "active":
        restore = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
        remedy = f"run `{restore}`, or give another --experiment"
        raise InputError(f"experiment {name!r} was deleted in the store", remedy)
    if location in (None, experiment.artifact_location):
        return experiment.experiment_id, []
    return experiment.experiment_id, [
        f"experiment {name!r} keeps its artifacts in {experiment.artifact_location}, set at its creation, not in "
        f"{location}; to move them, delete the store and sync again"
    ]


def runs_elsewhere(client: MlflowClient, experiment: str, name: str, workspace: str) -> list[str]:
    """Return a warning for each other experiment that shows runs of this workspace, because `project` was renamed.

    There is none where a server does not let this user look into other experiments.
    """
    quote = '"' if "'" in workspace else "'"
    wanted = f"tags.`{WORKSPACE}` = {quote}{workspace}{quote}"
    warnings = []
    try:
        others = {
            each.experiment_id: each.name
            for each in _of_all_pages(client.search_experiments)
            if each.experiment_id != experiment
        }
        while others and (runs := client.search_runs(list(others), wanted, max_results=1)):
            former = others.pop(runs[0].info.experiment_id)
            warnings.append(
                f"experiment {former!r} also holds runs of this workspace and gets no new ones: all are in {name!r} "
                f"now; if `project` was renamed, delete those there (filter {wanted}) and the models of that name, "
                "or rename it back"
            )
    except MlflowException:
        return warnings
    return warnings


def _of_all_pages(search: Callable[..., PagedList[Item]]) -> Iterator[Item]:
    """Yield everything that a search of MLflow finds, page after page."""
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def import_runs(
    client: MlflowClient,
    experiment: str,
    records: Sequence[tuple[RunRecord, Path]],
    workspace: str,
    now: int,
    grace: int,
) -> Changes:
    """Make the experiment hold each record (with the folder of its journal) exactly once; parents come first.

    Runs of one level wait for the store side by side, as a server may take a second for an answer.
    """
    changes, keys = Changes(), {record.key for record, _ in records}
    present = _runs_by_key(client, experiment, keys)
    ordered = sorted((record for record, _ in records), key=lambda record: (record.started, record.key))
    newest = {(record.stage, record.name): record.key for record in ordered}

    def bring(record: RunRecord, folder: Path) -> list[str]:
        run = _run_of(client, present, record)
        if run is not None and not record.stage:
            run = kept_above(client, run, record)
        if run is None:
            # Set on creation, in one transaction: no crash leaves a run that cannot be found again, and no other
            # workspace's sync takes it for one that nobody owns.
            own = {KEY: record.key, WORKSPACE: workspace}
            run = client.create_run(experiment, start_time=record.started, tags=own, run_name=record.run_name)
            changes.new.add(run.info.run_id)
        changes.ids[record.key] = run.info.run_id
        tags = _tags(record, workspace, changes.ids)
        if record.stage:  # `_mark_latest` would need a call for each
            tags[LATEST] = str(newest[record.stage, record.name] == record.key).lower()
        if run.info.run_id not in changes.new:
            if run.info.lifecycle_stage != "active" or _agrees(run, record, tags):
                return []  # a run that a person deleted stays deleted
            changes.updated.add(run.info.run_id)
        return _complete(client, run, record, folder, tags)

    for level in _levels(records):
        for warnings in side_by_side(bring, level, calls_at_once(client.tracking_uri)):
            changes.warnings += warnings
    changes.total = len(present) + len(changes.new)
    remove_empty_groups(client, present, keys, workspace)
    active = _runs_by_key(client, experiment, keys, ViewType.ACTIVE_ONLY)
    _close_lost_runs(client, active, keys, workspace, now, grace, changes)
    _mark_latest(client, active, workspace, changes)
    return changes


def _levels(records: Sequence[tuple[RunRecord, Path]]) -> list[list[tuple[RunRecord, Path]]]:
    """Return the records by depth below those that have no parent: an id is known before a run names it."""
    depths: dict[str | None, int] = {None: -1}
    levels: list[list[tuple[RunRecord, Path]]] = []
    for record, folder in records:
        depth = depths[record.key] = depths[record.parent] + 1
        levels += [[] for _ in range(depth + 1 - len(levels))]
        levels[depth].append((record, folder))
    return levels


def _run_of(client: MlflowClient, present: dict[str, Run], record: RunRecord) -> Run | None:
    """Return the run of a record; what was shown of it while it had only parts becomes it, or is removed."""
    run = present.get(record.key)
    former = present.pop(record.former_key, None) if record.former_key else None
    if former is None or former.info.lifecycle_stage != "active":
        return run
    if run is not None:
        client.delete_run(former.info.run_id)
        return run
    client.set_tag(former.info.run_id, KEY, record.key)
    present[record.key] = former
    return former


def _runs_by_key(client: MlflowClient, experiment: str, own: set[str], view: int = ViewType.ALL) -> dict[str, Run]:
    """Return every run that a sync or a stage logged, by key, oldest first; runs that others logged are ignored.

    Two runs of one key come from a stage that logged live while a sync imported it, or from a server that created one
    and answered too late. One stays, a complete one if there is one, and sync completes it. The keys of another
    workspace are not `own`: its sync may be filling one of the two now.
    """
    runs = _of_all_pages(partial(client.search_runs, [experiment], run_view_type=view, max_results=1000))
    ours = [run for run in runs if KEY in run.data.tags]
    ours.sort(key=lambda run: (run.info.start_time, run.data.tags[KEY], SYNCED not in run.data.tags))
    found: dict[str, Run] = {}
    for run in ours:
        other = found.setdefault(run.data.tags[KEY], run)
        if other is run:
            continue
        if run.info.lifecycle_stage == other.info.lifecycle_stage == "active":
            if run.data.tags[KEY] in own:
                client.delete_run(run.info.run_id)
        elif run.info.lifecycle_stage == "active":
            found[run.data.tags[KEY]] = run
    return found


def _is_complete(run: Run, record: RunRecord) -> bool:
    return run.data.tags.get(SYNCED) == record.digest() and run.info.status == record.status


def _agrees(run: Run, record: RunRecord, tags: dict[str, str]) -> bool:
    held = run.data.tags
    return _is_complete(run, record) and all(held.get(key) == tags.get(key) for key in (WORKSPACE, _PARENT))


def _tags(record: RunRecord, workspace: str, ids: dict[str, str]) -> dict[str, str]:
    parent = {_PARENT: ids[record.parent]} if record.parent else {}
    return record.tags | {WORKSPACE: workspace} | parent


def _complete(client: MlflowClient, run: Run, record: RunRecord, folder: Path, tags: dict[str, str]) -> list[str]:
    """Write what the run lacks, its digest last; return warnings."""
    run_id = run.info.run_id
    if _is_complete(run, record):  # of a moved workspace, or below another parent: its files are not written again
        _set_tags(client, run_id, tags)
        return []
    params = [Param(key, value) for key, value in record.params.items() if key not in run.data.params]
    held = {
        (metric.key, metric.value, metric.timestamp, metric.step)
        for key in run.data.metrics
        for metric in client.get_metric_history(run_id, key)
    }
    metrics = [Metric(*metric) for metric in dict.fromkeys(record.metrics) if metric not in held]
    for some_params, some_metrics in zip_longest(
        _chunks(params, TEXTS_A_BATCH), _chunks(metrics, METRICS_A_BATCH - TEXTS_A_BATCH), fillvalue=()
    ):
        client.log_batch(run_id, params=some_params, metrics=some_metrics)
    if record.inputs:
        client.log_inputs(run_id, [_data_set(each) for each in record.inputs])
    warnings, failures = _publish(client, run_id, record, folder)
    if record.status == "RUNNING":
        client.update_run(run_id, status=record.status)
    else:
        client.set_terminated(run_id, status=record.status, end_time=record.ended)
    _set_tags(client, run_id, tags | ({} if failures else {SYNCED: record.digest()}))  # the digest comes last
    return warnings + failures


def _set_tags(client: MlflowClient, run_id: str, tags: dict[str, str]) -> None:
    for some_tags in _chunks([RunTag(key, value) for key, value in tags.items()], TEXTS_A_BATCH):
        client.log_batch(run_id, tags=some_tags)


def _data_set(data: InputData) -> DatasetInput:
    """Return an input file as a data set of MLflow: its path and digest, but nothing of its content."""
    source = json.dumps({"results": data.name, "sha256": data.sha256})
    dataset = Dataset(data.name, data.sha256[:_DIGEST_LENGTH], source_type="file", source=source)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", data.role)])


def _publish(client: MlflowClient, run_id: str, record: RunRecord, folder: Path) -> tuple[list[str], list[str]]:
    """Copy the manifest, and the artifacts that the stage released if they are unchanged since.

    Returns warnings, and failures that a later sync may avoid (no space, no access): those runs are tried again.
    """
    warnings = []
    try:
        client.log_dict(run_id, record.manifest, "manifest.json")
        for name, sha256 in record.artifacts:
            path = folder / name
            if not path.is_file() or sha256_of(path) != sha256:
                warnings.append(f"{path}: missing or changed since {record.run_name} wrote it; not copied into MLflow")
                continue
            parents = [part for part in PurePosixPath(name).parent.parts if part not in ("..", "/")]
            client.log_artifact(run_id, str(path), artifact_path="/".join(["files", *parents]))
    except (MlflowException, SQLAlchemyError):
        raise
    except Exception as error:  # S3, GCS and proxies raise what they like; the numbers are already in
        reason, remedy = refused(error)
        return warnings, [f"{record.run_name}: files not copied into MLflow ({reason}); {remedy}"]
    return warnings, []


def _close_lost_runs(
    client: MlflowClient,
    runs: Mapping[str, Run],
    journals: set[str],
    workspace: str,
    now: int,
    grace: int,
    changes: Changes,
) -> None:
    """End the runs of this workspace whose journal is gone: replaced by a newer run of the same name, or deleted."""
    newest = _newest(runs)
    for key, run in runs.items():
        owner = run.data.tags.get(WORKSPACE, run.data.tags.get("workspace"))
        if run.info.status != "RUNNING" or key in journals or owner not in (workspace, None):
            continue
        history = [each for name in run.data.metrics for each in client.get_metric_history(run.info.run_id, name)]
        last_sign = max([run.info.start_time, *(metric.timestamp for metric in history)])
        superseded = owner is not None and newest[_place(run)] != key
        patience = 0 if superseded else grace if owner else max(grace, _FOREIGN_GRACE)
        status, ended = closed("RUNNING", None, last_sign, now, patience)
        if status != "RUNNING":
            client.set_terminated(run.info.run_id, status=status, end_time=ended)
            changes.updated.add(run.info.run_id)


def _mark_latest(client: MlflowClient, runs: Mapping[str, Run], workspace: str, changes: Changes) -> None:
    """Set `mlip.latest` to true on the newest run of each stage and name, and to false on older ones."""
    newest = _newest(runs)
    changed = []
    for key, run in runs.items():
        if run.data.tags.get(WORKSPACE) != workspace or STAGE not in run.data.tags:
            continue
        latest = "true" if newest[_place(run)] == key else "false"
        if run.data.tags.get(LATEST) != latest:
            changed.append((run.info.run_id, LATEST, latest))
            if run.info.run_id not in changes.new:
                changes.updated.add(run.info.run_id)
    side_by_side(client.set_tag, changed, calls_at_once(client.tracking_uri))


def _newest(runs: Mapping[str, Run]) -> dict[tuple[str | None, ...], str]:
    """Return the key of the newest run of each place; `runs` are oldest first."""
    return {_place(run): key for key, run in runs.items()}


def _place(run: Run) -> tuple[str | None, ...]:
    tags = run.data.tags
    return tags.get(WORKSPACE, tags.get("workspace")), tags.get(STAGE), tags.get(NAME)


def _chunks(items: list[Item], size: int) -> Iterator[list[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))

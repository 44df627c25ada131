"""Groups below a call of the workflow: the stages of one variant on one data set, or those that prepare a data set.

A group is shown where it has two stages or more; a stage that was tried twice is one. It belongs to one call: what a
later call replaces stays in the group of the earlier one, as with the stages themselves.

What MLflow already holds of groups and calls is kept, made anew, or removed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..common.digests import digest_of
from ..common.journal.mlflow_texts import KEY, LATEST, WORKSPACE, mlflow_keys
from .headlines import figures_table, group_figures
from .invocations import SHARED, Invocation, joint_status
from .quiet_mlflow import MlflowClient, Run
from .run_records import Execution, RunRecord

GROUP = "mlip.group"  # tag of a group's run: its title
_EMPTIED = "mlip.emptied"  # true: a group that a sync deleted
_RUN_TYPE = {"mlflow.runType": "evaluation"}  # MLflow's list opens a run that has such a run below it


@dataclass(frozen=True)
class Subject:
    """Name what a run is about: a variant, a variant on a data set, or a data set."""

    variant: str
    dataset: str

    @classmethod
    def of(cls, run: Execution) -> "Subject | None":
        """Return the subject of a run; None for one that concerns the whole workspace."""
        first, _, rest = run.name.partition("/")
        if "variant" in run.first.journal.tags:
            return cls(first, rest.partition("/")[0])
        return cls("", first) if first else None

    @property
    def title(self) -> str:
        """Return the name in MLflow's list."""
        return " on ".join(filter(None, [self.variant, self.dataset])) if self.variant else f"data {self.dataset}"


@dataclass(frozen=True)
class Group:
    """The runs of one subject that are shown below one call."""

    call: Invocation
    subject: Subject
    members: tuple[Execution, ...]

    @property
    def key(self) -> str:
        """Return the key of the group's run."""
        return digest_of(["group", self.call.identifier, self.subject.variant, self.subject.dataset])


def _stage(run: Execution) -> tuple[str, str]:
    return run.stage, run.name


def groups_of(calls: Sequence[Invocation], parents: Mapping[str, str]) -> list[Group]:
    """Return the groups below each call; `parents` holds the call's key for each execution's key."""
    found = []
    for call in calls:
        subjects: dict[Subject, list[Execution]] = {}
        for run in call.members:
            if parents[run.key] == call.key and (subject := Subject.of(run)):
                subjects.setdefault(subject, []).append(run)
        found += [
            Group(call, subject, tuple(runs))
            for subject, runs in subjects.items()
            if len({_stage(each) for each in runs}) > 1
        ]
    return found


def group_record(group: Group, records: Mapping[str, RunRecord], newest: bool) -> RunRecord:
    """Return the run of a group; `records` holds the runs of all executions by key."""
    runs = [records[each.key] for each in group.members]
    status, ended = joint_status(runs)
    figures = group_figures(runs)
    names = mlflow_keys(figures)
    subject = {"variant": group.subject.variant, "dataset": group.subject.dataset}
    tags = {key: value for key, value in runs[0].tags.items() if key in SHARED}
    tags |= {KEY: group.key, GROUP: group.subject.title, LATEST: str(newest).lower()} | _RUN_TYPE
    tags |= {key: value for key, value in subject.items() if value}
    started = min(each.started for each in runs)
    return RunRecord(
        key=group.key,
        stage="",
        name="",
        title=group.subject.title,
        status=status,
        started=started,
        ended=ended,
        params={},
        metrics=[(names[key], value, ended or started, 0) for key, value in sorted(figures.items())],
        tags=tags | {"mlflow.note.content": "\n".join(figures_table({group.subject.title: runs}))},
        manifest={"group": subject, "runs": [each.key for each in runs]},
        parent=group.call.key,
    )


def kept_above(client: MlflowClient, run: Run, record: RunRecord) -> Run | None:
    """Return the run of a call or group, or None where it is to be made anew.

    MLflow changes neither a start, a param nor the past of a metric: a run that says another one is deleted. A group
    that a sync removed, and not a person, is restored.
    """
    if run.info.lifecycle_stage != "active":
        if run.data.tags.get(_EMPTIED) != "true":
            return run
        client.restore_run(run.info.run_id)
        client.set_tag(run.info.run_id, _EMPTIED, "false")
        run = client.get_run(run.info.run_id)
    wanted = record.params | {key: value for key, value, _, _ in record.metrics}
    held = run.data.params | run.data.metrics
    if run.info.start_time == record.started and all(wanted.get(key) == held[key] for key in held):
        return run
    client.delete_run(run.info.run_id)
    return None


def remove_empty_groups(client: MlflowClient, present: dict[str, Run], kept: set[str], workspace: str) -> None:
    """Delete the groups of this workspace whose stages have all moved below a later call."""
    for key, run in present.items():
        tags = run.data.tags
        if key in kept or GROUP not in tags or tags.get(WORKSPACE) != workspace:
            continue
        if run.info.lifecycle_stage == "active":
            client.set_tag(run.info.run_id, _EMPTIED, "true")
            client.delete_run(run.info.run_id)

"""Groups below a call of the workflow: the stages of one variant on one data set, or those that prepare a data set.

A group is shown where it has two stages or more; a stage that was tried twice is one. It belongs to one call: what a
later call replaces stays in the group of the earlier one, as with the stages themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..common.digests import digest_of
from ..common.journal.mlflow_texts import KEY, LATEST
from .headlines import figures_table, group_figures
from .invocations import SHARED, Invocation, joint_status
from .run_records import Execution, RunRecord

GROUP = "mlip.group"  # tag of a group's run: its title
_RUN_TYPE = {"mlflow.runType": "evaluation"}  # MLflow's list opens a run that has such a run below it


@dataclass(frozen=True)
class Place:
    """What a run is about: a variant, a variant on a data set, or a data set."""

    variant: str
    dataset: str

    @classmethod
    def of(cls, run: Execution) -> "Place | None":
        """Return the place of a run; None for one that concerns the whole workspace."""
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
    """The runs of one place that are shown below one call."""

    call: Invocation
    place: Place
    members: tuple[Execution, ...]

    @property
    def key(self) -> str:
        """Return the key of the group's run."""
        return digest_of(["group", self.call.identifier, self.place.variant, self.place.dataset])


def _stage(run: Execution) -> tuple[str, str]:
    return run.stage, run.name


def groups_of(calls: Sequence[Invocation], parents: Mapping[str, str]) -> list[Group]:
    """Return the groups below each call; `parents` holds the call's key for each execution's key."""
    found = []
    for call in calls:
        places: dict[Place, list[Execution]] = {}
        for run in call.members:
            if parents[run.key] == call.key and (place := Place.of(run)):
                places.setdefault(place, []).append(run)
        found += [
            Group(call, place, tuple(runs))
            for place, runs in places.items()
            if len({_stage(each) for each in runs}) > 1
        ]
    return found


def group_record(group: Group, records: Mapping[str, RunRecord], newest: bool) -> RunRecord:
    """Return the run of a group; `records` holds the runs of all executions by key."""
    runs = [records[each.key] for each in group.members]
    status, ended = joint_status(runs)
    figures = group_figures(runs)
    place = {"variant": group.place.variant, "dataset": group.place.dataset}
    tags = {key: value for key, value in runs[0].tags.items() if key in SHARED}
    tags |= {KEY: group.key, GROUP: group.place.title, LATEST: str(newest).lower()} | _RUN_TYPE
    tags |= {key: value for key, value in place.items() if value}
    started = min(each.started for each in runs)
    return RunRecord(
        key=group.key,
        stage="",
        name="",
        title=group.place.title,
        status=status,
        started=started,
        ended=ended,
        params={},
        metrics=[(key, value, ended or started, 0) for key, value in sorted(figures.items())],
        tags=tags | {"mlflow.note.content": "\n".join(figures_table({group.place.title: runs}))},
        manifest={"group": place, "runs": [each.key for each in runs]},
        parent=group.call.key,
    )

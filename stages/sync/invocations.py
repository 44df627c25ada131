"""Parent runs: one for each call of the workflow, and below it every run that was valid when the call had ended.

A run of a stage is shown once. It hangs below the last call for which it was valid: below the newest one while nothing
replaced it, so that a partial rerun still shows the whole; what a rerun replaced stays below the call before.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..common.digests import digest_of
from ..common.journal.mlflow_texts import KEY, LATEST, PARAM_LENGTH, TAG_LENGTH, limited, mlflow_keys, shortened
from .headlines import call_figures, figures_table, joined_params
from .run_records import Execution, Place, RunRecord

KIND = "mlip.invocation"  # tag of a parent: the id of the call


@dataclass(frozen=True)
class Invocation:
    """A call of the workflow, identified by the tags of the runs that it made. Times are Unix milliseconds."""

    identifier: str
    started: int
    members: tuple[Execution, ...]  # all valid when it ended: its own runs and those that it kept

    @property
    def key(self) -> str:
        """Return the key of the call's parent run."""
        return key_of(self.identifier)


def key_of(identifier: str) -> str:
    """Return the key of the parent run of a call, given the call's id."""
    return digest_of(["invocation", identifier])


def invocations(all_executions: Sequence[Execution]) -> list[Invocation]:
    """Return the calls, oldest first."""
    began: dict[str, int] = {}
    for execution in all_executions:
        for each in execution.ran:
            if identifier := each.journal.tags.get("invocation"):
                began[identifier] = min(began.get(identifier, each.journal.started), each.journal.started)
    order = sorted(began, key=lambda identifier: (began[identifier], identifier))
    members: dict[str, list[Execution]] = {identifier: [] for identifier in order}
    places: dict[Place, list[Execution]] = {}
    for execution in all_executions:
        places.setdefault((execution.stage, execution.name), []).append(execution)
    for runs in places.values():
        firsts = [_call_of(run, order, began) for run in runs]
        for run, first, following in zip(runs, firsts, [*firsts[1:], len(order)], strict=True):
            for identifier in order[first : max(following, first + 1)]:
                members[identifier].append(run)
    return [Invocation(identifier, began[identifier], tuple(members[identifier])) for identifier in order]


def _call_of(run: Execution, order: Sequence[str], began: dict[str, int]) -> int:
    """Return the index of the call that made a run; for one made by hand, of the first call after it."""
    if run.invocation is not None:
        return order.index(run.invocation)
    return next((place for place, each in enumerate(order) if began[each] >= run.started), len(order))


def parents(calls: Sequence[Invocation]) -> dict[str, str]:
    """Return the parent's key for each execution's key: the last call for which it was valid."""
    return {run.key: call.key for call in calls for run in call.members}


def invocation_record(call: Invocation, records: Mapping[str, RunRecord], root: Path, newest: bool) -> RunRecord:
    """Return the parent run of a call; `records` holds the runs of all executions by key.

    It holds the figures and settings of all runs that were valid when the call ended, the report with its tables, and
    the pictures that the stages published.
    """
    runs = [(each, records[each.key]) for each in call.members]
    own = [record for each, record in runs if each.invocation == call.identifier]
    status, ended = joint_status(own)
    tags = {key: value for key, value in own[0].tags.items() if key in SHARED} if own else {}
    counts = Counter(record.status for record in own)
    places: dict[str, list[RunRecord]] = {}
    for each, record in runs:
        if "variant" in each.first.journal.tags:
            places.setdefault("/".join(record.name.split("/")[:2]), []).append(record)
    ended_or_started = call.started if ended is None else ended
    figures = call_figures(places)
    names = mlflow_keys(figures)
    return RunRecord(
        key=call.key,
        stage="",
        name=call.identifier,
        title=f"run of {datetime.fromtimestamp(call.started / 1000, UTC):%Y-%m-%d %H:%M} UTC",
        status=status,
        started=call.started,
        ended=None if status == "RUNNING" else ended_or_started,
        params=limited(joined_params(record for _, record in runs), PARAM_LENGTH),
        metrics=[(names[key], value, ended_or_started, 0) for key, value in sorted(figures.items())],
        tags=tags
        | {
            KEY: call.key,
            KIND: call.identifier,
            LATEST: str(newest).lower(),
            "mlip.ran": ", ".join(f"{count} {each}" for each, count in sorted(counts.items())) or "nothing",
            "mlip.kept": str(len(runs) - len(own)),
            "mlflow.note.content": shortened(
                "\n".join([*figures_table(places), "", *_table(call, runs)]).lstrip(), TAG_LENGTH
            ),
        },
        manifest={
            "invocation": call.identifier,
            "runs": [{"stage": record.stage, "name": record.name, "key": record.key, "status": record.status,
                      "ran": each.invocation == call.identifier} for each, record in runs],
        },
        artifacts=[
            ((each.first.folder / path).relative_to(root).as_posix(), sha256)
            for each, record in runs
            for path, sha256 in record.artifacts
            if record.stage == _REPORT or Path(path).suffix in _PICTURES
        ],
    )  # fmt: skip


def joint_status(records: Sequence[RunRecord]) -> tuple[str, int | None]:
    """Return status and end of several runs together: that of the worst, and the last end; None: one runs still."""
    statuses = {record.status for record in records}
    status = next((each for each in ("RUNNING", "FAILED", "KILLED") if each in statuses), "FINISHED")
    ends = [record.ended or record.started for record in records]
    return status, None if status == "RUNNING" else max(ends, default=None)


SHARED = ("project", "workspace", "git_commit", "git_dirty", "mlflow.source.git.commit")  # tags of all runs of a call
_REPORT = "summarize"  # the stage whose files are the report and its tables
_PICTURES = (".png", ".svg", ".jpg")


def _table(call: Invocation, runs: Sequence[tuple[Execution, RunRecord]]) -> list[str]:
    """Return Markdown for the page of the parent: what ran, what was kept."""
    lines = ["| stage | run | status | seconds | |", "|---|---|---|---|---|"]
    for each, record in runs:
        seconds = f"{(record.ended - record.started) / 1000:.1f}" if record.ended else ""
        kept = "ran" if each.invocation == call.identifier else f"kept from {each.invocation or 'a run by hand'}"
        lines.append(f"| {record.stage} | {record.name} | {record.status} | {seconds} | {kept} |")
    return lines

"""Records of MLflow runs, made from journals.

A run is one journal, or the journals of a scattered stage together. Its record is a pure function of its journals, the
time and the grace period.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..common.digests import digest_of
from ..common.journal.journals import FoundJournal, Journal, Metric
from ..common.journal.mlflow_texts import (
    KEY,
    NAME,
    PARAM_LENGTH,
    STAGE,
    TAG_LENGTH,
    is_constant,
    limited,
    mlflow_keys,
    run_name,
)
from .metrics import meanings

Place = tuple[str, str]  # stage and name


@dataclass(frozen=True)
class Execution:
    """One execution of a stage.

    `main` is the journal of the stage, or of the job that gathers its parts; None while there are only parts.
    """

    stage: str
    name: str
    main: FoundJournal | None
    parts: tuple[FoundJournal, ...] = ()  # the last one of each part that began before `main`
    own: tuple[FoundJournal, ...] = ()  # those that ran for this execution; the others were kept from an earlier one
    former_key: str | None = None  # under which it was shown while it had only parts

    @property
    def key(self) -> str:
        """Return the key under which MLflow holds the run."""
        return self.main.journal.key if self.main else _key_of_parts(self.stage, self.name, self.own)

    @property
    def ran(self) -> tuple[FoundJournal, ...]:
        """Return the journals of what ran for it."""
        return (*self.own, *([self.main] if self.main else []))

    @property
    def first(self) -> FoundJournal:
        """Return the main journal, or that of the first part."""
        return self.main or self.own[0]

    @property
    def started(self) -> int:
        """Return when the first of its journals began."""
        return min(each.journal.started for each in self.ran)

    @property
    def invocation(self) -> str | None:
        """Return the id of the call of the workflow that ran it last; None for a stage run by hand."""
        return max(self.ran, key=lambda each: each.journal.started).journal.tags.get("invocation")


def executions(found: Iterable[FoundJournal]) -> list[Execution]:
    """Return one execution for every run of a stage, oldest first.

    A part's name is the name of its stage's run, "/", and its own.
    """
    mains: dict[Place, list[FoundJournal]] = defaultdict(list)
    parts: dict[Place, list[FoundJournal]] = defaultdict(list)
    for each in sorted(found, key=lambda each: (each.journal.started, each.journal.key)):
        journal = each.journal
        if each.is_part:
            parts[journal.stage, journal.name.rpartition("/")[0]].append(each)
        else:
            mains[journal.stage, journal.name].append(each)
    result: list[Execution] = []
    for place in {**mains, **parts}:
        result += _of_place(*place, mains[place], parts[place])
    return sorted(result, key=lambda each: (each.started, each.key))


def _of_place(
    stage: str, name: str, mains: Sequence[FoundJournal], parts: Sequence[FoundJournal]
) -> Iterable[Execution]:
    last_began = -1
    for main in mains:
        began = main.journal.started
        own = [each for each in parts if last_began < each.journal.started <= began]
        former = _key_of_parts(stage, name, own) if own else None
        yield Execution(stage, name, main, _last_of_each(parts, began), tuple(own), former)
        last_began = began
    if own := [each for each in parts if each.journal.started > last_began]:
        yield Execution(stage, name, None, _last_of_each(parts, own[-1].journal.started), tuple(own))


def _last_of_each(parts: Sequence[FoundJournal], until: int) -> tuple[FoundJournal, ...]:
    last = {each.journal.name: each for each in parts if each.journal.started <= until}
    return tuple(last[name] for name in sorted(last, key=lambda name: (len(name), name)))


def _key_of_parts(stage: str, name: str, own: Sequence[FoundJournal]) -> str:
    """Return a key that does not depend on how many parts there are yet, since the first one is always the same."""
    return digest_of(["parts", stage, name, own[0].journal.started])


# Part of every record's digest: raise it when this module exports more, and all runs are updated.
EXPORT_VERSION = 3
_KEPT_BACK = {"metrics", "input_paths"}  # of a journal: what its manifest in MLflow does not hold


@dataclass(frozen=True)
class InputData:
    """An input file: its path below the results (or only its role, for one from outside), and its sha256."""

    role: str
    name: str
    sha256: str


@dataclass(frozen=True)
class RunRecord:
    """One MLflow run. Times are Unix milliseconds; a metric is (key, value, timestamp, step)."""

    key: str
    stage: str
    name: str
    status: str  # RUNNING | FINISHED | FAILED | KILLED
    started: int
    ended: int | None
    params: dict[str, str]
    metrics: list[tuple[str, float, int, int]]
    tags: dict[str, str]
    manifest: dict[str, Any]  # the journal without its metrics: full params, inputs, artifacts by sha256
    inputs: list[InputData] = field(default_factory=list)
    artifacts: list[tuple[str, str]] = field(default_factory=list)  # path below the folder and sha256: to be copied
    former_key: str | None = None
    parent: str | None = None  # the key of the run below which it is shown
    title: str = ""  # of a run that stands above others, which has no stage

    @property
    def run_name(self) -> str:
        """Return the name of the run in MLflow's list: its title, or its stage and its place."""
        return self.title or run_name(self.stage, self.name)

    def digest(self) -> str:
        """Return the digest of the record; if it is equal, the run in the store needs no change."""
        return digest_of([EXPORT_VERSION, asdict(self)])


def run_record(
    execution: Execution, root: Path, now: int, grace: int, producers: Mapping[str, str], parent: str | None = None
) -> RunRecord:
    """Return the run of an execution below `root`; `now` and `grace` in milliseconds. `producers`: `producers_of`."""
    first, main = execution.first, execution.main
    journal = first.journal
    status, ended = _status(execution, now, grace)
    logged = _metrics(execution)
    metrics = [each for each in logged if not is_constant(each.key)]
    more = {each.key: f"{float(each.value):.6g}" for each in logged if is_constant(each.key)}
    if lines := meanings({each.key for each in metrics}):
        more["mlflow.note.content"] = "\n".join(lines)
    names = mlflow_keys(metric.key for metric in metrics)
    manifest = {key: value for key, value in first.record.items() if key not in _KEPT_BACK}
    if execution.parts:
        manifest["parts"] = [
            {key: value for key, value in each.record.items() if key not in {*_KEPT_BACK, "code", "params"}}
            for each in execution.parts
        ]
    published = [each for each in journal.artifacts if each.publish] if main and not main.earlier else []
    return RunRecord(
        key=execution.key,
        stage=execution.stage,
        name=execution.name,
        status=status,
        started=execution.started,
        ended=ended,
        params=limited(journal.params, PARAM_LENGTH),
        metrics=[
            (names[each.key], each.value, each.timestamp, each.step)
            for each in metrics
            if isinstance(each.value, float)
        ],
        tags=limited(journal.tags | more | _own_tags(execution, root, metrics), TAG_LENGTH),
        manifest=manifest,
        inputs=_inputs(journal, producers),
        artifacts=[(each.path, each.sha256) for each in published],
        former_key=execution.former_key,
        parent=parent,
    )


def producers_of(found: list[FoundJournal], root: Path) -> dict[str, str]:
    """Return the path below `root` of each file that a stage wrote, by sha256; files of parts are left out."""
    return {
        artifact.sha256: (each.folder / artifact.path).relative_to(root).as_posix()
        for each in found
        if not each.is_part
        for artifact in each.journal.artifacts
        if ".." not in Path(artifact.path).parts
    }


def closed(status: str, ended: int | None, last_sign: int, now: int, grace: int) -> tuple[str, int | None]:
    """Return status and end of a run; one that says RUNNING but was silent for `grace` or longer counts as KILLED.

    It then ended when it was last heard of. That is a guess: if the stage is alive after all and writes again, the next
    sync corrects it. A grace of 0 says that nothing runs any more, as at the end of a workflow, and then it is no
    guess.
    """
    if status == "RUNNING" and (grace == 0 or now - last_sign >= grace):
        return "KILLED", last_sign
    return status, ended


def _status(execution: Execution, now: int, grace: int) -> tuple[str, int | None]:
    if execution.main:
        journal = execution.main.journal
        if journal.status == "RUNNING" and execution.main.earlier:
            grace = 0  # a later run replaced it: it has ended
        return closed(journal.status, journal.ended, journal.last_sign, now, grace)
    last_sign = max(each.journal.last_sign for each in execution.own)
    if any(each.journal.status == "FAILED" for each in execution.parts):
        return "FAILED", last_sign
    return closed("RUNNING", None, last_sign, now, grace)  # the parts may be finished, but not what they are for


def _metrics(execution: Execution) -> list[Metric]:
    """Return the metrics of the journal, and of each part below `parts/`, with the part's number as the step."""
    metrics = list(execution.main.journal.metrics) if execution.main else []
    for place, part in enumerate(execution.parts):
        number = part.journal.name.rpartition("/")[2]
        step = int(number) if number.isdecimal() else place
        metrics += [each.model_copy(update={"key": f"parts/{each.key}", "step": step}) for each in part.journal.metrics]
    return metrics


def _inputs(journal: Journal, producers: Mapping[str, str]) -> list[InputData]:
    """Return files from outside, and those that a stage wrote; the many of a scattered stage are in the manifest."""
    known = {role: producers.get(sha256) for role, sha256 in journal.inputs.items()}
    own = {role for role in known if role.rpartition("_")[2].isdecimal() and known[role] is None}
    return [InputData(role, known[role] or role, sha256) for role, sha256 in journal.inputs.items() if role not in own]


def _own_tags(execution: Execution, root: Path, metrics: list[Metric]) -> dict[str, str]:
    journal = execution.first.journal
    tags = {
        KEY: execution.key,
        STAGE: execution.stage,
        NAME: execution.name,
        "mlip.journal": execution.first.path.relative_to(root).as_posix(),
        "mlflow.source.name": f"stages.{execution.stage}",
        "mlflow.source.type": "LOCAL",
    }
    tags |= {f"mlip.{role}": digest for role, digest in journal.digests.model_dump().items()}
    if commit := journal.tags.get("git_commit"):
        tags["mlflow.source.git.commit"] = commit
    if execution.parts:
        finished = sum(part.journal.status == "FINISHED" for part in execution.parts)
        tags["mlip.parts"] = f"{finished} of {len(execution.parts)} finished"
    errors = [each.journal.error for each in (execution.first, *execution.parts) if each.journal.error]
    if errors:
        tags["mlip.error"] = errors[0]
    if odd := [metric for metric in metrics if isinstance(metric.value, str)]:
        tags["metric_not_finite"] = "; ".join(f"{each.key} = {each.value} at step {each.step}" for each in odd)
    return tags

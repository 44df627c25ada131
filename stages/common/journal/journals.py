"""Journals on disk: found, checked, and identified by a stable key (format: stages/common/journal/tracking.py)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from ..contract import JOURNAL_FILE
from ..digests import digest_of
from ..errors import InputError
from ..files.atomic_files import read_json
from ..settings import outdated_record

Version = Literal[1]
(JOURNAL_VERSION,) = get_args(Version)
PAGE = "mlflow_run"  # tag: address of the run's page at the server that showed it while it ran, without secrets
INTERVAL = "interval."  # tag, before the name of a metric: its 95 % interval
EARLIER = "earlier_journals"  # folder beside the journal: those of earlier runs


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)  # unknown keys are let through: `track` may add some


class Metric(_Part):
    """One logged number, or the text of one that is not finite."""

    key: str
    value: float | str  # text: a number that is not finite
    step: int
    timestamp: int  # Unix milliseconds, like all times here


class Artifact(_Part):
    """One output file of a run."""

    path: str  # relative to the journal
    sha256: str
    bytes: int
    publish: bool = False


class Digests(_Part):
    """Digests of everything that determines a run's outputs."""

    code: str
    settings: str
    data: str
    image: str


class Journal(_Part):
    """One execution of a stage, as written by `track`."""

    version: Version
    stage: str
    name: str
    status: Literal["RUNNING", "FINISHED", "FAILED"]
    started: int
    ended: int | None
    error: str | None
    digests: Digests
    code: dict[str, str] = {}  # digest of each file of the stage, by its path in the checkout; absent before 0.3
    inputs: dict[str, str]
    input_paths: dict[str, str] = {}  # as the stage was given them; they stay in the journal, MLflow does not get them
    params: dict[str, str]
    metrics: list[Metric]
    artifacts: list[Artifact]
    tags: dict[str, str]

    @property
    def key(self) -> str:
        """Return the run's key, the same for every state of one execution: metrics, end and location do not count."""
        return run_key(self.stage, self.name, self.digests.model_dump(), self.started)

    @property
    def last_sign(self) -> int:
        """Return when the run was last heard of: its end, else its latest metric, else its start."""
        return self.ended or max([self.started, *(metric.timestamp for metric in self.metrics)])


def run_key(stage: str, name: str, digests: Mapping[str, str], started: int) -> str:
    """Return the tag `mlip.key` by which live logging and sync find one run."""
    return digest_of([stage, name, dict(digests), started])


def workspace_name(results: Path) -> str:
    """Return a workspace's name: the end of its path and a digest of the whole path.

    Several workspaces may share one MLflow experiment.
    """
    folder = Path(results).resolve().parent
    return f"{folder.parent.name}/{folder.name}@{digest_of(str(folder))[:6]}"


@dataclass(frozen=True)
class FoundJournal:
    """A journal with its path and raw content."""

    path: Path
    journal: Journal
    record: dict[str, Any]  # the raw JSON, unknown keys included

    @property
    def earlier(self) -> bool:
        """Return whether a later run has replaced it."""
        return self.path.parent.name == EARLIER

    @property
    def is_part(self) -> bool:
        """Return whether it is one of the journals that a scattered stage wrote."""
        stem = self.path.stem.removesuffix(f"_{self.journal.started}") if self.earlier else self.path.stem
        return stem != Path(JOURNAL_FILE).stem

    @property
    def folder(self) -> Path:
        """Return the folder to which its artifacts' paths are relative."""
        return self.path.parent.parent if self.earlier else self.path.parent


def read_journal(path: Path) -> FoundJournal:
    """Read one journal; an InputError names the file and every wrong key."""
    record = read_json(path)
    try:
        return FoundJournal(path, Journal.model_validate(record), record)
    except ValidationError as error:
        stage = record.get("stage") if isinstance(record, dict) else None
        raise outdated_record(error, path, f"delete it and run {stage or 'its stage'} again") from None


def find_journals(root: Path) -> tuple[list[FoundJournal], list[str]]:
    """Return every journal below `root`, oldest run first, and one line for each file that is not a valid journal.

    Earlier journals are included. Copies of one execution (equal keys) count once: the one heard of last is kept.
    """
    paths = sorted({*root.rglob(JOURNAL_FILE), *root.rglob("journal_*.json")})
    if not paths:
        raise InputError(f"{root}: no {JOURNAL_FILE} below it", remedy="run a stage first")
    found: dict[str, FoundJournal] = {}
    problems = []
    for path in paths:
        try:
            candidate = read_journal(path)
        except InputError as error:
            problems.append(str(error))
            continue
        key = candidate.journal.key
        if key not in found or _age_rank(candidate.journal) > _age_rank(found[key].journal):
            found[key] = candidate
    return sorted(found.values(), key=lambda each: (each.journal.started, each.journal.key)), problems


def _age_rank(journal: Journal) -> tuple[bool, int]:
    return journal.ended is not None, journal.last_sign

"""What MLflow shall hold of one journal: a pure function of the journal, the time and the grace period."""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.common.digests import digest_of
from stages.common.journals import FoundJournal, Journal

# Part of every record's digest: raise it when this module exports more, and all runs are brought up to date.
EXPORT_VERSION = 1

KEY_LENGTH = 250  # MLflow's limits, in characters
PARAM_LENGTH = 6000
TAG_LENGTH = 8000


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

    @property
    def run_name(self) -> str:
        return f"{self.stage}/{self.name}" if self.name else self.stage

    def digest(self) -> str:
        """Equal digests: the run in the store needs no change."""
        return digest_of([EXPORT_VERSION, asdict(self)])


def run_record(found: FoundJournal, root: Path, now: int, grace: int) -> RunRecord:
    """The run of a journal below `root`; `now` and `grace` in milliseconds."""
    journal = found.journal
    status, ended = closed(journal.status, journal.ended, journal.last_sign, now, grace)
    metric_names = mlflow_keys(metric.key for metric in journal.metrics)
    return RunRecord(
        key=journal.key,
        stage=journal.stage,
        name=journal.name,
        status=status,
        started=journal.started,
        ended=ended,
        params=_texts(journal.params, PARAM_LENGTH),
        metrics=[
            (metric_names[metric.key], metric.value, metric.timestamp, metric.step)
            for metric in journal.metrics
            if isinstance(metric.value, float)
        ],
        tags=_texts(journal.tags | _own_tags(journal, found.path.relative_to(root)), TAG_LENGTH),
        manifest={key: value for key, value in found.record.items() if key != "metrics"},
    )


def closed(status: str, ended: int | None, last_sign: int, now: int, grace: int) -> tuple[str, int | None]:
    """Status and end of a run. One that says RUNNING but was silent for `grace` or longer counts as KILLED.

    It then ended when it was last heard of. That is a guess: if the stage lives after all and writes again, the next
    sync corrects it. A grace of 0 says that nothing runs any more, as at the end of a workflow: no guess then.
    """
    if status == "RUNNING" and (grace == 0 or now - last_sign >= grace):
        return "KILLED", last_sign
    return status, ended


def mlflow_keys(keys: Iterable[str]) -> dict[str, str]:
    """Each key under a name that MLflow accepts: letters, digits and `_-. :/`; no leading dot, paths in short form.

    Valid keys stay as they are; two keys that would share a name are told apart by a digest of the key.
    """
    distinct = sorted(set(keys))
    names = {key: key for key in distinct if _allowed(key) == key}
    taken = set(names.values())
    for key in distinct:
        if key not in names:
            name = _allowed(key)
            names[key] = f"{name[: KEY_LENGTH - 9]}_{digest_of(key)[:8]}" if name in taken else name
            taken.add(names[key])
    return names


def _allowed(key: str) -> str:
    name = posixpath.normpath(re.sub(r"[^\w\-. :/]", "_", key)).lstrip("./")
    if len(name) > KEY_LENGTH:
        name = name[:KEY_LENGTH].rstrip("./")
    return name or "_"


def _own_tags(journal: Journal, place: Path) -> dict[str, str]:
    tags = {
        "mlip.key": journal.key,
        "mlip.stage": journal.stage,
        "mlip.name": journal.name,
        "mlip.journal": place.as_posix(),
        "mlflow.source.name": f"stages.{journal.stage}",
        "mlflow.source.type": "LOCAL",
    }
    tags |= {f"mlip.{role}": digest for role, digest in journal.digests.model_dump().items()}
    if commit := journal.tags.get("git_commit"):
        tags["mlflow.source.git.commit"] = commit
    if journal.error:
        tags["mlip.error"] = journal.error
    if odd := [metric for metric in journal.metrics if isinstance(metric.value, str)]:
        tags["metric_not_finite"] = "; ".join(f"{each.key} = {each.value} at step {each.step}" for each in odd)
    return tags


def _texts(values: dict[str, str], limit: int) -> dict[str, str]:
    """Keys and values within MLflow's limits; what is cut stands in full in the manifest."""
    names = mlflow_keys(values)
    return {
        names[key]: value if len(value) <= limit else value[: limit - 1] + "…" for key, value in sorted(values.items())
    }

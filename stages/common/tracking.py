"""The journal of a stage: what went in, what came out, what was measured. Files are the truth; MLflow shows them.

    with track("zero_shot_classification", "mlip/rsna", journal=path, settings=settings, inputs=inputs) as run:
        run.log_metric("auc", 0.91)
        run.log_artifact(output)

The journal is one JSON file beside the outputs. It is written when the stage starts (status RUNNING), at most every
30 s while metrics come in, and when it ends (FINISHED or FAILED); `python -m stages.sync` imports it into MLflow.
"""

import os
import platform
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, SupportsFloat, SupportsIndex

from stages.common.atomic_files import read_sidecar, sha256_of, write_json
from stages.common.code_digest import ROOT, code_digest
from stages.common.digests import data_digest, digest_of
from stages.common.errors import InputError
from stages.common.settings import Settings

JOURNAL_VERSION = 1
_SECONDS_BETWEEN_WRITES = 30.0


@dataclass
class Run:
    """One execution of a stage. Times are Unix milliseconds, as MLflow has them."""

    path: Path
    record: dict[str, Any]
    _written: float = field(default=0.0, repr=False)

    @property
    def digest(self) -> str:
        """One digest of code, settings, data and image: names what this run would produce."""
        return digest_of(self.record["digests"])

    def log_metric(self, key: str, value: SupportsFloat, step: SupportsIndex = 0) -> None:
        self.log_metrics({key: value}, step)

    def log_metrics(self, values: Mapping[str, SupportsFloat], step: SupportsIndex = 0) -> None:
        """Record numbers at a step. A number that is not finite is kept as text: JSON has no NaN."""
        now = _now()
        for key, value in values.items():
            value = float(value)
            finite = value == value and abs(value) != float("inf")
            self.record["metrics"].append(
                {"key": key, "value": value if finite else str(value), "step": int(step), "timestamp": now}
            )
        if time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES:
            self.write()

    def log_tag(self, key: str, value: str) -> None:
        self.record["tags"][key] = str(value)

    def log_artifact(self, path: Path, publish: bool = False) -> None:
        """Record an output file by path (relative to the journal) and sha256. `publish` lets MLflow copy the file."""
        relative = os.path.relpath(path, self.path.parent)
        digest = read_sidecar(path) or sha256_of(path)
        self.record["artifacts"].append(
            {"path": relative, "sha256": digest, "bytes": Path(path).stat().st_size, "publish": publish}
        )

    def write(self) -> None:
        self._written = time.monotonic()
        write_json(self.path, self.record)


@contextmanager
def track(
    stage: str,
    name: str,
    *,
    journal: Path,
    settings: Settings,
    inputs: Mapping[str, Path],
    image: str = "none",
) -> Iterator[Run]:
    """Keep the journal of one run of `stage`; `name` is its place under the stage's folder, e.g. "mlip/rsna".

    `inputs` maps a role to a file: their digests (side-car, else computed) make the data digest.
    An exception is recorded as FAILED with its last line, and goes on.
    """
    for role, path in inputs.items():
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file (the {role} of {stage}); run the stage that writes it first")
    hashes = {role: read_sidecar(path) or sha256_of(path) for role, path in sorted(inputs.items())}
    record: dict[str, Any] = {
        "version": JOURNAL_VERSION,
        "stage": stage,
        "name": name,
        "status": "RUNNING",
        "started": _now(),
        "ended": None,
        "error": None,
        "digests": {
            "code": code_digest(f"stages.{stage}.__main__"),
            "settings": settings.digest(),
            "data": data_digest(hashes),
            "image": image,
        },
        "inputs": hashes,
        "params": flatten(settings.model_dump(mode="json")),
        "metrics": [],
        "artifacts": [],
        "tags": _environment(),
    }
    run = Run(Path(journal), record)
    run.write()
    try:
        yield run
    except BaseException as error:
        text = " ".join(str(error).split())
        record.update(status="FAILED", error=f"{type(error).__name__}: {text}", ended=_now())
        run.write()
        raise
    record.update(status="FINISHED", ended=_now())
    run.write()


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as MLflow params: dotted keys, text values."""
    flat: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= flatten(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(item)
    return flat


def _now() -> int:
    return time.time_ns() // 1_000_000


def _environment() -> dict[str, str]:
    tags = {"host": socket.gethostname(), "python": platform.python_version()}
    if job := os.environ.get("SLURM_JOB_ID"):
        tags["slurm_job_id"] = job
    if container := os.environ.get("APPTAINER_CONTAINER"):
        tags["container"] = Path(container).name
    return tags | git_state()


def git_state() -> dict[str, str]:
    """Commit of the checkout and whether it was edited since. An image has no git: its job is told by variables."""
    if commit := os.environ.get("MLIP_GIT_COMMIT"):
        return {"git_commit": commit, "git_dirty": os.environ.get("MLIP_GIT_DIRTY", "unknown")}
    if commit := _git("rev-parse", "HEAD"):
        return {"git_commit": commit, "git_dirty": str(bool(_git("status", "--porcelain"))).lower()}
    return {}


def _git(*arguments: str) -> str | None:
    """What git says of the checkout, or None where there is no git or no repository (as in an image)."""
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

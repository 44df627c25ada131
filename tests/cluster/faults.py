"""Faults that are done to jobs while they run, each once, and what results must look like afterwards."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

# Journals hold times, and so do the report and what MLflow keeps; all else is a function of input, settings and code.
TIMED = ("journal", "report.html", ".sync.lock")


@dataclass(frozen=True)
class RunningStage:
    """A process `python -m stages.<stage>` inside a job."""

    stage: str
    pid: int
    job: str  # SLURM's id


Fault = Callable[[RunningStage], None]


def kill(running: RunningStage) -> None:
    os.kill(running.pid, signal.SIGKILL)


def cancel(running: RunningStage) -> None:
    subprocess.run(["scancel", running.job], check=True)


def requeue(running: RunningStage) -> None:
    subprocess.run(["scontrol", "requeue", running.job], check=True)


def exceed_time(running: RunningStage) -> None:
    """Stop the process until SLURM's limit of a minute is over; SLURM ends the job then."""
    os.kill(running.pid, signal.SIGSTOP)
    subprocess.run(["scontrol", "update", f"JobId={running.job}", "TimeLimit=1"], check=True)


@dataclass
class Faults:
    """Within `with`: does each stage's fault to the first process of the stage that is seen, and to no other."""

    of_stage: Mapping[str, Fault]
    done: dict[str, RunningStage] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Faults":
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for running in running_stages():
                fault = self.of_stage.get(running.stage)
                if fault is not None and running.stage not in self.done:
                    self.done[running.stage] = running
                    fault(running)
            time.sleep(0.02)


def running_stages() -> list[RunningStage]:
    """Stages that run in jobs of this machine, from /proc."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode().split("\0")
            if words[1:2] != ["-m"] or not words[2].startswith("stages."):
                continue
            pairs = (place / "environ").read_bytes().decode(errors="replace").split("\0")
        except (OSError, IndexError):
            continue  # it has ended
        job = dict(pair.partition("=")[::2] for pair in pairs).get("SLURM_JOB_ID")
        if job:
            found.append(RunningStage(words[2].removeprefix("stages."), int(place.name), job))
    return found


def hashes(results: Path) -> dict[str, str]:
    """sha256 of every output by its relative path; those with times in them are left out."""
    files = [path for path in sorted(results.rglob("*")) if path.is_file() and not path.name.startswith(TIMED)]
    return {str(path.relative_to(results)): sha256(path.read_bytes()).hexdigest() for path in files}

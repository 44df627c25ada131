"""Faults that are done to jobs while they run, each once."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path


@dataclass(frozen=True)
class RunningStage:
    """A process `python -m stages.<stage>` inside a job."""

    stage: str
    pid: int
    job: str  # SLURM's id
    name: str = ""  # value of `--name`: the variant of a training
    journal: str = ""  # value of `--journal`, from the folder of the checkout


Fault = Callable[[RunningStage], None]


def kill(running: RunningStage) -> None:
    os.kill(running.pid, signal.SIGKILL)


def cancel(running: RunningStage) -> None:
    subprocess.run(["scancel", running.job], check=True)


def requeue(running: RunningStage) -> None:
    subprocess.run(["scontrol", "requeue", running.job], check=True)


def preempt(_: RunningStage) -> None:
    """A job of a QOS that preempts the usual one wants every GPU of both nodes."""
    urgent = ["sbatch", "--qos=urgent", "--nodes=2", "--gres=gpu:2", "--mem=100", "--time=1", "--output=/dev/null"]
    subprocess.run([*urgent, "--wrap=sleep 2"], check=True)


def exceed_time(running: RunningStage) -> None:
    """Stop the process until SLURM's limit of a minute is over, and let it answer SLURM's SIGTERM then."""
    os.kill(running.pid, signal.SIGSTOP)
    subprocess.run(["scontrol", "update", f"JobId={running.job}", "TimeLimit=1"], check=True)
    while alive(running) and not terminated(running):
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGCONT)


@dataclass(frozen=True)
class Halfway:
    """A fault to a stage when half of the time is over that it took in the same place of a run that was left alone."""

    fault: Fault
    checkout: Path
    alone: Path  # workspace of that run

    def __call__(self, running: RunningStage) -> None:
        journal = self.checkout / running.journal
        usual = json.loads((self.alone / Path(*Path(running.journal).parts[2:])).read_text())  # runs/NAME/results/...
        while not journal.exists():
            assert alive(running), f"{running}: ended before its journal began"
            time.sleep(0.01)
        time.sleep((usual["ended"] - usual["started"]) / 2000)
        assert alive(running), f"{running}: ended before half of its usual time was over"
        self.fault(running)


@dataclass
class AfterSteps:
    """A fault to a training that is under way. `last`: its log when it had ended, which the next attempt replaces."""

    fault: Fault
    log: Path
    steps: int
    last: str = ""

    def __call__(self, running: RunningStage) -> None:
        while steps_in(self.read()) < self.steps:
            assert alive(running), f"{running}: ended before step {self.steps}: {self.read()}"
            time.sleep(0.05)
        self.fault(running)
        while alive(running):
            self.last = self.read() or self.last
            time.sleep(0.02)
        self.last = self.read() or self.last

    def read(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def steps_in(log: str) -> int:
    """The last step that a training's log tells of."""
    return max([0, *map(int, re.findall(r"(?:^|saved at )step +(\d+)", log, re.MULTILINE))])


@dataclass
class Faults:
    """Within `with`: each fault is done to the first process of its stage (or `stage/name`), and to no other."""

    of_stage: Mapping[str, Fault]
    done: dict[str, RunningStage] = field(default_factory=dict)
    _met: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _errors: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> "Faults":
        self._begin(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _watch(self) -> None:
        while not self._stop.is_set():
            for running in running_stages():
                for key in (running.stage, f"{running.stage}/{running.name}"):
                    if key in self.of_stage and key not in self._met:
                        self._met.add(key)
                        self._begin(partial(self._do, key, running))  # it may wait for its moment
            time.sleep(0.02)

    def _do(self, key: str, running: RunningStage) -> None:
        self.of_stage[key](running)
        self.done[key] = running

    def _begin(self, act: Callable[[], None]) -> None:
        def told() -> None:
            try:
                act()
            except BaseException as error:  # raised where the test waits
                self._errors.append(error)

        self._threads.append(threading.Thread(target=told, daemon=True))
        self._threads[-1].start()


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
            options = dict(pairwise(words))
            found.append(
                RunningStage(words[2].removeprefix("stages."), int(place.name), job, options.get("--name", ""),
                             options.get("--journal", ""))
            )  # fmt: skip
    return found


def terminated(running: RunningStage) -> bool:
    """Whether SIGTERM waits for the process."""
    try:
        status = Path(f"/proc/{running.pid}/status").read_text()
    except OSError:
        return False
    pending = re.search(r"^ShdPnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return pending is not None and bool(int(pending.group(1), 16) >> (signal.SIGTERM - 1) & 1)


def alive(running: RunningStage) -> bool:
    """Whether the process runs (or is stopped): one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{running.pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False

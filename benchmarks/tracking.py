"""Measure the cost of a journal for a stage, with MLflow's server up, down, locked, refusing, slow, or not configured.

A stage of `--seconds` of arithmetic logs 8 numbers every 50 ms, more than any training does. The cost of the journal is
counted directly, not inferred from noisy totals: the CPU time of the calls in the stage's thread and of all other
threads (writing, sampling, sending), as a share of the process's CPU time. Reported separately: the CPU time of the
start (digests of the code), and the wait at the end. The server runs on loopback and answers as configured. Every run
is a separate process; results are medians over interleaved rounds.

`python -m benchmarks.tracking [--rounds 5] [--seconds 15] [--output FILE]`
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from stages.common.files.code_digest import ROOT
from stages.common.journal import live_logging
from stages.common.journal.tracking import track
from stages.common.settings import Settings

STATES = ("no server", "up", "down", "locked", "403", "slow")
_BLOCK = np.random.default_rng(0).standard_normal((96, 96))


def work(seconds: float, log: Callable[[dict[str, float], int], None]) -> float:
    """Compute for this many CPU seconds; return the CPU seconds spent in the calls of `log`."""
    began, blocks, due, logging = time.thread_time(), 0, 0.0, 0.0
    while (spent := time.thread_time() - began) < seconds:
        for _ in range(20):
            np.matmul(_BLOCK, _BLOCK)
        blocks += 20
        if spent >= due:
            due += 0.05
            before = time.thread_time()
            log({f"loss/{number}": spent for number in range(8)}, blocks)
            logging += time.thread_time() - before
    return logging


def one(seconds: float) -> None:
    """Run the work in this process and print the cost of its journal."""
    live_logging._SECONDS_BEFORE = min(live_logging._SECONDS_BEFORE, seconds / 3)
    with tempfile.TemporaryDirectory() as folder:
        starting = time.process_time()
        with track("sync", "", journal=Path(folder) / "journal.json", settings=Settings(), inputs={}) as run:
            began, own = time.process_time(), time.thread_time()
            calls = work(seconds, run.log_metrics)
            total = time.process_time() - began
            others = total - (time.thread_time() - own)
            ending = time.monotonic()
        waited = time.monotonic() - ending
    print(json.dumps({"share": (calls + others) / total, "start": began - starting, "end": waited}))


def measured(state: str, seconds: float) -> dict[str, float]:
    with ExitStack() as stack:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        if state == "down":
            environment["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
        elif state != "no server":
            sys.path.insert(0, str(ROOT / "tests"))
            from fake_mlflow import FakeMlflow, serving

            fake = FakeMlflow()
            fake.mode = {"up": "ok", "403": "403", "slow": 10.0, "locked": "locked"}[state]
            environment["MLFLOW_TRACKING_URI"] = stack.enter_context(serving(fake))
        command = [sys.executable, "-m", "benchmarks.tracking", "--one", "--seconds", str(seconds)]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.tracking")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0, help="CPU seconds of work in each run")
    parser.add_argument("--output", type=Path, help="Markdown table to write")
    parser.add_argument("--one", action="store_true", help="run the work once, in this process")
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.seconds)
        return
    found: dict[str, list[dict[str, float]]] = {state: [] for state in STATES}
    for number in range(arguments.rounds):
        for state in STATES:
            found[state].append(measured(state, arguments.seconds))
        text = table(found)  # after each round, so that an early stop still shows results
        print(f"{number + 1} of {arguments.rounds} rounds\n{text}", flush=True)
        if arguments.output:
            arguments.output.write_text(text, encoding="utf-8")


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """Return the medians as a Markdown table."""
    lines = ["| MLflow | share of the CPU time | start, CPU | end, waited |", "|---|---|---|---|"]
    for state, runs in found.items():
        share, start, end = (statistics.median(run[key] for run in runs) for key in ("share", "start", "end"))
        lines.append(f"| {state} | {100 * share:.2f} % | {1000 * start:.0f} ms | {1000 * end:.0f} ms |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

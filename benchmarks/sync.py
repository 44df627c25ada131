"""Fill an MLflow server that takes a second for each answer: calls, and minutes, one at a time and side by side.

    python -m benchmarks.sync --runs 335 --seconds 1 --at-once 1 16

Journals are as many as those of the default configuration, each with settings, numbers, inputs that all read and one of
its own, and published files. The server runs on loopback with SQLite; each answer is held back by `--seconds`.
`--at-once 1` is the plain way, one call after another.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from threading import Lock
from typing import Any
from unittest.mock import patch

import requests

from stages.common.files.atomic_files import sha256_of
from stages.common.files.code_digest import ROOT
from stages.sync import calls
from stages.sync.synchronise import synchronise

STARTED = 1_700_000_000_000  # ms
PARAMS, METRICS, FILES, SHARED = 40, 30, 3, 2  # of a run; SHARED: inputs that all runs read


def write_journals(folder: Path, runs: int) -> None:
    """Write the journals of `runs` evaluations."""
    for run in range(runs):
        place = folder / "zero_shot_classification" / f"v{run}" / "rsna"
        place.mkdir(parents=True)
        artifacts = []
        for number in range(FILES):
            path = place / f"picture_{number}.svg"
            path.write_text(f"<svg>{run} {number}</svg>" * 100)
            size = path.stat().st_size
            artifacts.append({"path": path.name, "sha256": sha256_of(path), "bytes": size, "publish": True})
        journal = {
            "version": 1, "stage": "zero_shot_classification", "name": f"v{run}/rsna", "status": "FINISHED",
            "started": STARTED + run, "ended": STARTED + run + 5000, "error": None,
            "digests": {"code": "c", "settings": f"s{run}", "data": "d", "image": "none"},
            "inputs": {f"shared_{n}": f"{n}" for n in range(SHARED)} | {"checkpoint": f"checkpoint {run}"},
            "params": {f"key.{n}": f"{n}" for n in range(PARAMS)},
            "metrics": [{"key": f"test/auc/{n}", "value": n / METRICS, "step": 0, "timestamp": STARTED}
                        for n in range(METRICS)],
            "artifacts": artifacts, "tags": {"host": "node1"},
        }  # fmt: skip
        (place / "journal.json").write_text(json.dumps(journal))


def measured(runs: int, seconds: float, at_once: int) -> dict[str, float]:
    """Return minutes and calls of a sync into an empty store."""
    sys.path.insert(0, str(ROOT / "tests"))
    from mlflow_process import MlflowProcess

    counted, lock, ask = Counter[str](), Lock(), requests.Session.request

    def late(session: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
        answer = ask(session, method, url, **options)
        with lock:
            counted["artifacts" if "mlflow-artifacts" in url else url.rpartition("/mlflow/")[2].partition("?")[0]] += 1
        time.sleep(seconds)
        return answer

    with tempfile.TemporaryDirectory() as name:
        write_journals(Path(name) / "results", runs)
        server = MlflowProcess(Path(name) / "mlflow.db", Path(name) / "files")
        server.start()
        try:
            began = time.monotonic()
            with patch.object(calls, "CALLS_AT_ONCE", at_once), patch.object(requests.Session, "request", late):
                summary = synchronise(Path(name) / "results", server.uri, "benchmark", register=False)
            minutes = (time.monotonic() - began) / 60
        finally:
            server.kill()
    assert (summary.new, summary.warnings, summary.problems) == (runs, [], [])
    return {"at_once": at_once, "minutes": round(minutes, 2), "calls": counted.total(), **counted}


def main() -> None:
    """Measure and print a line of JSON per number of calls at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=335)
    parser.add_argument("--seconds", type=float, default=1.0, help="that each answer is held back")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, calls.CALLS_AT_ONCE])
    options = parser.parse_args()
    for at_once in options.at_once:
        print(json.dumps(measured(options.runs, options.seconds, at_once)), flush=True)


if __name__ == "__main__":
    main()

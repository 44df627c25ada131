"""Live logging: shows a stage's run in MLflow while it runs.

The journal is the truth; nothing here delays or fails the stage. A daemon thread sends what the journal gets, in
batches. What cannot be sent is counted; `stages.sync` completes the run afterwards, since both find it by the same key
(tag mlip.key).
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .journals import PAGE
from .mlflow_texts import (
    LATEST,
    METRICS_A_BATCH,
    NAME,
    PARAM_LENGTH,
    STAGE,
    TAG_LENGTH,
    TEXTS_A_BATCH,
    is_constant,
    is_mlflow_key,
    limited,
    run_name,
    without_secrets,
)

if TYPE_CHECKING:
    from .mlflow_server import MlflowServer

_SECONDS_BEFORE = 10.0  # a shorter stage needs no live view: sync shows it, and it pays nothing
_SECONDS_BETWEEN = 2.0
_WAITING = 20_000  # numbers kept while the server does not answer
_PAUSE, _LONGEST_PAUSE = 10.0, 300.0  # s to wait after a failure: doubled after each further one
_SHARE, _LONGEST_WAIT = 0.01, 5.0  # of the run's time, and s: the longest wait for the last batch


class LiveRun:
    """One run of a stage at a server. `log` and `end` are called by the stage and return at once."""

    def __init__(self, uri: str, experiment: str, record: Mapping[str, Any], key: str) -> None:
        self._uri, self._experiment, self._key = uri, experiment, key
        name = run_name(record["stage"], record["name"])
        self._start, self._name, self._own_tags = record["started"], name, record["tags"]
        self._params = limited(record["params"], PARAM_LENGTH)
        self._tags = limited(
            record["tags"] | {STAGE: record["stage"], NAME: record["name"], LATEST: "true"}, TAG_LENGTH
        )
        self._waiting: deque[dict[str, Any]] = deque()
        self._ending: tuple[str, int] | None = None
        self._wake = threading.Event()
        self._server: MlflowServer | None = None  # used by the thread only
        self._run: str | None = None
        self.sent = self.left_out = self.failures = 0
        self._failing, self._last_error = False, ""
        self._deleted = False  # set if a person deleted the run: sync does not complete it either
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._serve, name="mlflow", daemon=True)
        self._thread.start()

    def log(self, metrics: Sequence[Mapping[str, Any]]) -> None:
        """Queue entries of the journal; constants, values not finite and names that MLflow refuses are left to sync."""
        for metric in metrics if not self._deleted else ():
            if isinstance(metric["value"], str) or not is_mlflow_key(metric["key"]) or is_constant(metric["key"]):
                continue
            if len(self._waiting) >= _WAITING:
                self.left_out += 1
            else:
                self._waiting.append(dict(metric))

    def end(self, status: str, ended: int) -> None:
        """Close the run; wait at most a hundredth of the run's time, and not at all if the server did not answer."""
        self._ending = (status, ended)
        self._wake.set()
        if self._run is not None and not self._failing:
            self._thread.join(min(_SHARE * (time.monotonic() - self._began), _LONGEST_WAIT))
        if self.failures and not self._deleted:
            lacking = len(self._waiting) + self.left_out
            server = self._server or without_secrets(self._uri)
            print(
                f"warning: MLflow at {server}: {self.failures} calls failed (last error: {self._last_error}), "
                f"{lacking} values were not shown live; the next sync adds them from the journal",
                file=sys.stderr,
            )

    def _serve(self) -> None:
        try:
            self._wake.wait(_SECONDS_BEFORE)
            if self._ending:
                return
            # Imported here, because a stage without live logging must not pay for it (http and ssl, some 50 ms).
            from .mlflow_server import DeletedRunError, MlflowServer

            self._server = server = MlflowServer(self._uri, os.environ)
            pause = 0.0
            while True:
                ending = self._ending
                try:
                    self._send(server, ending)
                    if ending:
                        return
                    pause, self._failing = 0.0, False
                except DeletedRunError:
                    self._deleted = True
                    return
                except (OSError, ValueError, KeyError, TypeError) as error:
                    self._last_error = without_secrets(" ".join(str(error).split()) or type(error).__name__)
                    self.failures, self._failing = self.failures + 1, True
                    pause = min(max(2 * pause, _PAUSE), _LONGEST_PAUSE)
                    if ending:
                        return
                self._wake.wait(pause or _SECONDS_BETWEEN)
        except Exception as error:
            self._last_error = without_secrets(str(error)) if isinstance(error, ValueError) else type(error).__name__
            self.failures += 1

    def _send(self, server: "MlflowServer", ending: tuple[str, int] | None) -> None:
        run = self._run or self._open(server)
        try:
            self._send_waiting(server, run, ending)
        except OSError as error:
            if not _may_concern_the_run(error):
                raise
            other = self._open(server)  # deleted by a person, or by a sync that merged two: the other one goes on
            if other == run:
                raise
            self._send_waiting(server, other, ending)

    def _open(self, server: "MlflowServer") -> str:
        """Find the run or create it, and log its params."""
        self._run = None
        experiment = server.experiment(self._experiment)
        self._run = run = server.run(experiment, self._key, self._start, self._name, self._tags)
        self._own_tags[PAGE] = f"{str(server).rstrip('/')}/#/experiments/{experiment}/runs/{run}"
        params = [{"key": key, "value": value} for key, value in self._params.items()]
        for start in range(0, len(params), TEXTS_A_BATCH):
            server.log_batch(run, params=params[start : start + TEXTS_A_BATCH])
        return run

    def _send_waiting(self, server: "MlflowServer", run: str, ending: tuple[str, int] | None) -> None:
        while batch := [self._waiting[place] for place in range(min(len(self._waiting), METRICS_A_BATCH))]:
            server.log_batch(run, metrics=batch)
            for _ in batch:  # kept until they arrived: sent twice, they count once
                self._waiting.popleft()
            self.sent += len(batch)
        if ending:
            server.end(run, *ending)


def _may_concern_the_run(error: OSError) -> bool:
    """Return whether a server refused because the run is gone (404) or deleted.

    For a deleted run MLflow's stores answer 400 with the same code as for every other mistake, Databricks
    INVALID_STATE.
    """
    return getattr(error, "status", None) in (400, 404) or getattr(error, "code", "") == "INVALID_STATE"


_warned = False


def live_run(record: Mapping[str, Any], key: str) -> LiveRun | None:
    """Start live logging to MLFLOW_TRACKING_URI.

    Returns None where none was asked for, or the address is one that jobs cannot share.
    """
    global _warned
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return None
    if uri.startswith(("http://", "https://")):
        return LiveRun(uri, os.environ.get("MLFLOW_EXPERIMENT_NAME", "mlip"), record, key)
    if not _warned:
        _warned = True
        print(
            f"warning: MLFLOW_TRACKING_URI is {without_secrets(uri)}; live logging needs http:// or https:// "
            "(several jobs would corrupt a store in a file); sync shows the run at the end of the workflow",
            file=sys.stderr,
        )
    return None

"""A real MLflow server of the pinned version on loopback, which a test may kill and start again."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from eventually import eventually


class MlflowProcess:
    """`mlflow server` over one SQLite file; killed and started again it keeps its port, its store and its files.

    `store` is the URI of another database, `options` and `variables` are more of the command line and environment.
    """

    def __init__(
        self,
        database: Path,
        artifacts: Path,
        store: str | None = None,
        options: Sequence[str] = (),
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.database, self.uri, self._artifacts = database, f"http://127.0.0.1:{port}", artifacts
        self._command = [
            *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store or f"sqlite:///{database}"),
            *options,
            *("--artifacts-destination", str(artifacts), "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        ]
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        environment |= self._variables
        self._process = subprocess.Popen(
            self._command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            eventually(self._answers, seconds_between=0.1)
        except BaseException:
            self.kill()
            raise

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"it ended: {' '.join(self._command)}"
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """As a power cut does it: nothing is closed, nothing is written any more."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def lose_everything(self) -> None:
        """The store and the files are gone; the next start makes an empty store."""
        for path in self.database.parent.glob(f"{self.database.name}*"):
            path.unlink()
        shutil.rmtree(self._artifacts)

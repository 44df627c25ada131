"""Serve MLflow's pages of a workspace on loopback, and print the address of its runs: `make ui WORKSPACE=runs/main`.

Only a store that exists is served: MLflow would create an empty one where the name is mistyped. The address is printed
once the server answers. MLflow's telemetry is off.
"""

import os
import socket
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

from stages.common.command_line import one_line_errors
from stages.common.errors import InputError

QUIET = {  # values set by the user are kept
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # of language models: nothing here asks for one
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PYTHONWARNINGS": "ignore",
}
_SECONDS = 60.0  # that a server may take to start
_EXAMPLES = "Default"  # the experiment that MLflow makes by itself


def store_of(workspace: Path) -> str:
    """Return the URI of a workspace's store. Raises InputError where there is none, and creates nothing."""
    path = workspace / "mlflow.db"
    if not path.is_file():
        known = sorted(str(each.parent) for each in workspace.parent.glob("*/mlflow.db"))
        there = f"; there are {', '.join(known)}" if known else ""
        if os.environ.get("MLFLOW_TRACKING_URI"):
            there += "; runs that went to a server are on its own pages (MLFLOW_TRACKING_URI)"
        raise InputError(
            f"{path}: no such store of MLflow{there}",
            remedy="correct WORKSPACE, or fill the store from the journals: make sync WORKSPACE=FOLDER",
        )
    return f"sqlite:///{path.resolve()}"


def pages(store: str, address: str) -> dict[str, str]:
    """Return experiment -> address of its runs, in the view that sync prepared."""
    from stages.sync.quiet_mlflow import MlflowClient
    from stages.sync.view import is_prepared, runs_page

    found = [each for each in MlflowClient(store).search_experiments() if each.name != _EXAMPLES]
    return {each.name: address + runs_page(each.experiment_id, is_prepared(each.tags)) for each in found}


def server(store: str, port: int, environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the command of the server, and its environment."""
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        store,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",  # for one person; each takes a quarter of a GB
        "--uvicorn-opts",
        "--log-level warning --no-access-log",
    ]
    return command, QUIET | dict(environ)


def refuse_taken_port(port: int) -> None:
    """Raise an InputError where something listens on the port: its pages would be taken for ours."""
    with socket.socket() as tried:
        if tried.connect_ex(("127.0.0.1", port)) == 0:
            raise InputError(
                f"port {port}: another program listens there", "end it, or choose another: make ui PORT=5001"
            )


def answers(address: str, server: int, seconds: float = _SECONDS) -> bool:
    """Wait until the server of a process answers, and return whether it did in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and os.getppid() == server:
        with suppress(OSError), urlopen(f"{address}/health", timeout=5) as answer:  # noqa: S310 - http, on loopback
            return bool(answer.status == 200)
        time.sleep(0.2)
    return False


def announce(store: str, address: str, server: int) -> None:
    """Print the addresses of the runs once the server answers; nothing if it has ended."""
    print(f"starting MLflow on {address} (Ctrl+C ends it) ...", file=sys.stderr, flush=True)
    lines = [f"{name}: {page}" for name, page in pages(store, address).items()]
    if answers(address, server):
        print("\n".join(lines), flush=True)
    elif os.getppid() == server:
        print(f"warning: {address} does not answer after {_SECONDS:.0f} s; then look at:", *lines, sep="\n",
              file=sys.stderr, flush=True)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Become the server; a child process prints the addresses once it answers."""
    parser = ArgumentParser("python -m workflow.ui", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("runs/main"), help="folder of a run [%(default)s]")
    parser.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 [%(default)s]")
    options = parser.parse_args(argv)
    environ = dict(os.environ)  # before MLflow is imported, which sets variables of its own
    with one_line_errors():
        store = store_of(options.workspace)
        refuse_taken_port(options.port)
    here = os.getpid()
    if not os.fork():  # the child waits for its parent, which becomes the server: signals reach the server itself
        with one_line_errors():
            announce(store, f"http://127.0.0.1:{options.port}", here)
        os._exit(0)
    command, environment = server(store, options.port, environ)
    os.execve(command[0], command, environment)  # noqa: S606 (no shell)


if __name__ == "__main__":
    main()

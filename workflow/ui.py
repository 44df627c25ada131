"""Serve MLflow's pages of a workspace on loopback, and print the address of its runs: `make ui WORKSPACE=runs/main`.

Only a store that exists is served: MLflow would create an empty one where the name is mistyped. MLflow's telemetry is
off.
"""

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.common.command_line import one_line_errors
from stages.common.errors import InputError

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}  # values set by the user are kept
_EXAMPLES = "Default"  # the experiment that MLflow makes by itself


def store_of(workspace: Path) -> str:
    """Return the URI of a workspace's store. Raises InputError where there is none, and creates nothing."""
    path = workspace.resolve() / "mlflow.db"
    if not path.is_file():
        known = sorted(str(each.parent) for each in workspace.parent.glob("*/mlflow.db"))
        there = f"; there are {', '.join(known)}" if known else ""
        raise InputError(
            f"{path}: no such store of MLflow{there}",
            remedy="correct WORKSPACE, or fill the store from the journals: make sync WORKSPACE=FOLDER",
        )
    return f"sqlite:///{path}"


def pages(store: str, address: str) -> dict[str, str]:
    """Return experiment -> address of its runs.

    Without the parameter, MLflow 3 opens an experiment as one of chat models, with no run in sight.
    """
    from stages.sync.quiet_mlflow import MlflowClient

    found = [each for each in MlflowClient(store).search_experiments() if each.name != _EXAMPLES]
    return {
        each.name: f"{address}/#/experiments/{each.experiment_id}/runs?workflowType=machine_learning" for each in found
    }


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
    ]
    return command, QUIET | dict(environ)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the addresses, and become the server."""
    parser = ArgumentParser("python -m workflow.ui", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("runs/main"), help="folder of a run [%(default)s]")
    parser.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 [%(default)s]")
    options = parser.parse_args(argv)
    environ = dict(os.environ)  # before MLflow is imported, which sets variables of its own
    with one_line_errors():
        store = store_of(options.workspace)
        for name, page in pages(store, f"http://127.0.0.1:{options.port}").items():
            print(f"{name}: {page}")
    command, environment = server(store, options.port, environ)
    os.execve(command[0], command, environment)  # noqa: S606 (no shell)


if __name__ == "__main__":
    main()

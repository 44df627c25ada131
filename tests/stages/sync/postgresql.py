"""A PostgreSQL of the test's own, from Debian's package, and packages that only MLflow's server needs."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_OF_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
_ON_PATH = shutil.which("initdb")
PROGRAMS = _OF_DEBIAN[-1].parent if _OF_DEBIAN else Path(_ON_PATH).parent if _ON_PATH else None
DRIVER = "psycopg2-binary==2.9.13"


def packages_for_the_server(folder: Path, *requirements: str) -> dict[str, str]:
    """Variables of a server that finds these packages; they are not in the environment of the project."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *requirements]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT CHECKED: {', '.join(requirements)} cannot be had from the package index")
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}


@contextmanager
def postgresql() -> Iterator[str]:
    """URI of an empty database in a cluster without a network, which ends with the block."""
    if PROGRAMS is None:
        pytest.skip("NOT CHECKED: no PostgreSQL here (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="mlip-pg-"))  # short: the path of a socket has at most 107 characters
    as_user = []
    if os.geteuid() == 0:  # PostgreSQL refuses root; Debian's package has made this user
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [*as_user, str(PROGRAMS / program), *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )

    data, options = str(folder / "data"), f"-k {folder} -c listen_addresses='' -F"
    run("initdb", "--pgdata", data, "--username", "mlflow", "--auth", "trust", "--encoding", "UTF8", "--no-sync")
    try:
        run("pg_ctl", "start", "--pgdata", data, "--wait", "--log", str(folder / "log"), "--options", options)
        run("createdb", "--host", str(folder), "--username", "mlflow", "mlflow")
        yield f"postgresql://mlflow@/mlflow?host={folder}"
    finally:
        run("pg_ctl", "stop", "--pgdata", data, "--mode", "immediate")
        shutil.rmtree(folder)

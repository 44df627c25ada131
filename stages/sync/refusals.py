"""What a refusal of the store means to a person."""

import os
from pathlib import Path

from ..common.errors import InputError, first_line
from ..common.journal.mlflow_server import MlflowServer
from ..common.journal.mlflow_texts import ACCESS, without_secrets
from .relocation import remedy_for

_STATUS = {"UNAUTHENTICATED": 401, "CUSTOMER_UNAUTHORIZED": 401, "PERMISSION_DENIED": 403}  # MLflow's codes


_SECONDS = 10.0


def refused(error: Exception, status: int | None = None) -> tuple[str, str]:
    """Return what a store or its files' server said, and what to do; nothing secret is in it.

    `status` is that of HTTP where it is known; else it is read from the error.
    """
    answer = getattr(error, "response", None)  # of requests
    status = status or _STATUS.get(getattr(error, "error_code", ""), getattr(answer, "status_code", None))
    if status in ACCESS:
        return f"the server denies access, HTTP {status}", f"{ACCESS[status]}, then sync again"
    return without_secrets(first_line(error)), "sync again"


def store_failed(error: Exception, uri: str, experiment: str, database: Path | None) -> InputError:
    """Return the error of a sync that ended early. What it wrote stays, and the next one goes on there.

    `database` is the file of an SQLite store.
    """
    what, remedy = refused(error)
    if remedy == "sync again" and uri.startswith("http"):  # a proxy may deny access in words that MLflow does not know
        what, remedy = refused(error, MlflowServer(uri, os.environ).probe(experiment, _SECONDS)[0])
    if remedy == "sync again":
        remedy = remedy_for(database) if database else "start or repair the server, then sync again"
        return InputError(without_secrets(f"{uri}: the store failed ({what})"), remedy=remedy)
    return InputError(without_secrets(f"{uri}, experiment {experiment!r}: {what}"), remedy=remedy)

"""One sync: lock the store, read the journals, import them, say what was done."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from stages.common.errors import InputError
from stages.common.journals import find_journals
from stages.sync.lock import single_writer
from stages.sync.quiet_mlflow import MlflowClient, MlflowException
from stages.sync.run_records import run_record
from stages.sync.store import import_runs, open_experiment

_SQLITE = "sqlite:///"
_MILLISECONDS_AN_HOUR = 3_600_000


@dataclass(frozen=True)
class Summary:
    """What one sync did: numbers of runs, the store, lines for standard error."""

    new: int
    updated: int
    unchanged: int
    uri: str
    experiment: str  # its id in the store
    warnings: list[str]  # imported, but not as it should be
    problems: list[str]  # journals that could not be imported

    def __str__(self) -> str:
        uri = without_password(self.uri)
        done = f"imported {self.new} new, updated {self.updated}, unchanged {self.unchanged} runs into {uri}"
        # MLflow 3 opens an experiment as one of chat models, with no run in sight, unless the address says otherwise
        page = f"/#/experiments/{self.experiment}/runs?workflowType=machine_learning"
        if uri.startswith("http"):
            return f"{done}; open {uri.rstrip('/')}{page}"
        return f"{done}; open with: mlflow ui --backend-store-uri {uri} (then http://127.0.0.1:5000{page})"


def synchronise(
    journals: Path,
    store: str,
    experiment: str,
    artifacts: Path | None = None,
    grace_hours: float = 24.0,
    patience: float = 60.0,
) -> Summary:
    """Import every journal below a folder; errors of the store and of the input become InputError.

    `artifacts` defaults to the folder `mlartifacts` beside a SQLite store, and to the server's choice elsewhere.
    `patience`: seconds to wait for another sync.
    """
    uri = absolute_uri(store)
    if not journals.is_dir():
        raise InputError(f"{journals}: no such folder; give the folder of the workflow's results")
    if uri.startswith(_SQLITE):
        database = Path(uri.removeprefix(_SQLITE))
        database.parent.mkdir(parents=True, exist_ok=True)
        artifacts, lock = artifacts or database.with_name("mlartifacts"), database.with_name(database.name + ".lock")
    else:
        lock = journals / ".sync.lock"
    try:
        with single_writer(lock, patience):  # read inside: what was read before a wait may be out of date
            found, problems = find_journals(journals)
            now, grace = time.time_ns() // 1_000_000, round(grace_hours * _MILLISECONDS_AN_HOUR)
            records = [(run_record(each, journals, now, grace), each.path.parent) for each in found]
            client = MlflowClient(uri)
            identifier, warnings = open_experiment(client, experiment, artifacts)
            changes = import_runs(client, identifier, records, now, grace)
    except (MlflowException, SQLAlchemyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        message = f"{uri}: the store failed ({reason}); mend or delete it, then sync again"
        raise InputError(without_password(message)) from None
    touched = len(changes.new) + len(changes.updated)
    return Summary(
        new=len(changes.new),
        updated=len(changes.updated),
        unchanged=changes.total - touched,
        uri=uri,
        experiment=identifier,
        warnings=warnings + changes.warnings,
        problems=problems,
    )


def absolute_uri(store: str) -> str:
    """The store's URI; a relative SQLite path becomes absolute, so that it means the same in every folder."""
    if store.startswith(_SQLITE):
        return _SQLITE + str(Path(store.removeprefix(_SQLITE)).resolve())
    if "://" not in store:
        raise InputError(f"--store {store}: no URI; write sqlite:///FILE.db or http://HOST:PORT")
    return store


def without_password(text: str) -> str:
    """A text with URIs as it may stand in a log."""
    return re.sub(r"(://[^:/@\s]*):[^@/\s]*@", r"\1:***@", text)

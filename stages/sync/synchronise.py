"""One sync: lock the store, read the journals, import them, report what was done."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from ..common.errors import InputError
from ..common.journal.journals import FoundJournal, find_journals, workspace_name
from ..common.journal.mlflow_texts import without_secrets
from .groups import group_record, groups_of
from .invocations import invocation_record, invocations, parents
from .lock import single_writer
from .model_registry import register_models
from .options import SQLITE, absolute_uri
from .quiet_mlflow import MlflowClient, MlflowException, forget_artifact_places
from .refusals import store_failed
from .relocation import ARTIFACTS, follow_move, remember_home
from .run_records import RunRecord, executions, producers_of, run_record
from .store import import_runs, open_experiment, runs_elsewhere
from .view import prepare_view, runs_page

_MILLISECONDS_AN_HOUR = 3_600_000


@dataclass(frozen=True)
class Summary:
    """Outcome of one sync: numbers of runs, the store, lines for standard error."""

    new: int
    updated: int
    unchanged: int
    uri: str
    experiment: str  # its id in the store
    models: list[str]  # name and version of what is new in the registry
    warnings: list[str]  # imported, but not as it should be
    problems: list[str]  # journals that could not be imported

    def __str__(self) -> str:
        uri = without_secrets(self.uri)
        done = f"imported {self.new} new, updated {self.updated}, unchanged {self.unchanged} runs into {uri}"
        done += "".join(f", model {model}" for model in self.models)
        page = runs_page(self.experiment)
        if uri.startswith("http"):
            return f"{done}; open {uri.replace('***@', '').rstrip('/')}{page}"
        return f"{done}; open with: mlflow ui --backend-store-uri {uri} (then http://127.0.0.1:5000{page})"


def synchronise(
    journals: Path,
    store: str | None = None,
    experiment: str | None = None,
    artifacts: Path | None = None,
    grace_hours: float = 24.0,
    patience: float = 60.0,
    register: bool | None = None,
) -> Summary:
    """Import every journal below a folder; errors of the store and of the input become InputError.

    `store` defaults to MLFLOW_TRACKING_URI, else to mlflow.db beside the folder; `experiment` to the project that the
    journals name; `artifacts` to the folder `mlflow_artifacts` beside a SQLite store, and to the server's choice
    elsewhere. `patience` is the number of seconds to wait for another sync. `register` says whether chosen models are
    uploaded; None: what MLIP_REGISTER_MODELS says, else the newest journal that says it, else yes.
    """
    if not journals.is_dir():
        raise InputError(f"{journals}: no such folder", remedy="give the folder of the workflow's results")
    journals = journals.resolve()
    named = os.environ.get("MLFLOW_TRACKING_URI")
    uri = absolute_uri(
        store or named or f"{SQLITE}{journals.parent / 'mlflow.db'}", "--store" if store else "MLFLOW_TRACKING_URI"
    )
    project = experiment or ""
    database: Path | None = None
    if uri.startswith(SQLITE):
        database = Path(uri.removeprefix(SQLITE).partition("?")[0])
        database.parent.mkdir(parents=True, exist_ok=True)
        artifacts = artifacts or database.with_name(ARTIFACTS)
        lock = database.with_name(f"{database.name}.lock")
    else:
        lock = journals / ".sync.lock"
    try:
        with single_writer(lock, patience):  # read inside: what was read before a wait may be out of date
            found, problems = find_journals(journals)
            now, grace = time.time_ns() // 1_000_000, round(grace_hours * _MILLISECONDS_AN_HOUR)
            warnings = follow_move(database, artifacts) if database and artifacts else []
            if database:
                _allow_writing(database)
            forget_artifact_places()
            client = MlflowClient(uri)
            project = project or _project(found)
            identifier, more = open_experiment(client, project, artifacts)
            warnings += more
            if database:
                remember_home(client, identifier, database)
            records = records_of(found, journals, now, grace)
            changes = import_runs(client, identifier, records, workspace_name(journals), now, grace)
            prepare_view(client, identifier)
            warnings += runs_elsewhere(client, identifier, project, workspace_name(journals))
            models: list[str] = []
            unregistered: list[str] = []
            if _registers(found) if register is None else register:
                models, unregistered = register_models(client, found, project, changes.ids)
    except (MlflowException, SQLAlchemyError) as error:
        raise store_failed(error, uri, project, database) from None
    touched = len(changes.new) + len(changes.updated)
    return Summary(
        new=len(changes.new),
        updated=len(changes.updated),
        unchanged=changes.total - touched,
        uri=uri,
        experiment=identifier,
        models=models,
        warnings=warnings + changes.warnings + unregistered,
        problems=problems,
    )


def _allow_writing(database: Path) -> None:
    """Create a database that does not exist yet with the mode of the umask: SQLite's own shuts the group out.

    Raises InputError for one of another user that this one cannot write.
    """
    if not database.exists():
        database.touch()
    if not os.access(database, os.W_OK):
        remedy = "its owner has to allow it (`chmod g+w` on it), or name a server by MLFLOW_TRACKING_URI"
        raise InputError(f"{database}: you may read it only", remedy)


def records_of(found: list[FoundJournal], root: Path, now: int, grace: int) -> list[tuple[RunRecord, Path]]:
    """Return every run that MLflow is to hold, with the folder of its files.

    The calls of the workflow come first, then their groups, then the stages.
    """
    runs = executions(found)
    calls, producers = invocations(runs), producers_of(found, root)
    parent = parents(calls)
    groups = groups_of(calls, parent)
    parent |= {run.key: group.key for group in groups for run in group.members}
    records = {each.key: run_record(each, root, now, grace, producers, parent.get(each.key)) for each in runs}
    above = [(invocation_record(call, records, root, call is calls[-1]), root) for call in calls]
    above += [(group_record(group, records, group.call is calls[-1]), root) for group in groups]
    return above + [(records[each.key], each.first.folder) for each in runs]


def _project(found: list[FoundJournal]) -> str:
    """Return the project of the newest run that names one."""
    named = [each.journal.tags["project"] for each in found if "project" in each.journal.tags]
    return named[-1] if named else "mlip"


def _registers(found: list[FoundJournal]) -> bool:
    """Return whether models may be uploaded, as the workflow was told; a word other than true or false means no."""
    said = [each.journal.tags["register_models"] for each in found if "register_models" in each.journal.tags]
    said += filter(None, [os.environ.get("MLIP_REGISTER_MODELS")])
    return not said or said[-1].lower() == "true"

"""The options of `python -m stages.sync`, without MLflow, which takes seconds to import."""

import math
import re
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..common.command_line import program_name
from ..common.errors import InputError
from ..common.journal.mlflow_texts import WRITE_ENCODED, has_broken_password, without_secrets

SQLITE = "sqlite:///"
_DESCRIPTION = """Import the stages' journals into MLflow: once each, repaired if half there, never twice.

Inputs: every journal below --journals (format: stages/common/journal/tracking.py), and the files that they publish.
Outputs: in --store one MLflow run per journal (a scattered stage: one for all its parts) with its times, params,
metrics, tags, data sets, manifest.json and published files, below one parent run for each call of the workflow.
The store holds nothing that the journals lack: delete it, sync again, and it is back.

A run whose journal says RUNNING is shown so for --grace hours after its last sign of life, then as KILLED, and
corrected if it writes again. At the end of a workflow nothing runs any more: --grace 0.
"""


@dataclass(frozen=True)
class SyncOptions:
    """Options of one sync; None takes the default that `synchronise` describes."""

    journals: Path
    store: str | None
    experiment: str | None
    artifacts: Path | None
    grace: float  # hours
    register_models: bool | None
    tolerant: bool


def hours(text: str) -> float:
    """Parse a time in hours, at least 0; argparse names the option where this raises ValueError."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError(text)
    return number


def read_options(argv: Sequence[str] | None = None) -> SyncOptions:
    """Read the options of a command line."""
    parser = ArgumentParser(
        program_name("python -m stages.sync"), description=_DESCRIPTION, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("--journals", type=Path, required=True, help="folder; every journal.json below it is imported")
    parser.add_argument(
        "--store", help="URI of the MLflow store [MLFLOW_TRACKING_URI, else SQLite: mlflow.db next to the folder]"
    )
    parser.add_argument("--experiment", help="MLflow experiment [the project named in the journals]")
    parser.add_argument(
        "--artifacts", type=Path, help="folder for the files of a new experiment [next to the SQLite file]"
    )
    parser.add_argument(
        "--grace",
        type=hours,
        default=24.0,
        help="hours after which a silent running stage counts as killed [%(default)s]",
    )
    parser.add_argument(
        "--register-models",
        choices=["true", "false"],
        help="upload chosen models including weights [MLIP_REGISTER_MODELS, else what the journals record]",
    )
    parser.add_argument("--tolerant", action="store_true", help="warn instead of failing; always exit with status 0")
    given = vars(parser.parse_args(argv))
    register = given.pop("register_models")
    return SyncOptions(**given, register_models=None if register is None else register == "true")


def absolute_uri(store: str, source: str = "--store") -> str:
    """Return the store's URI; a relative SQLite path becomes absolute, so that it means the same in every folder.

    Raises InputError, which names the `source` of the URI, for what is no store that sync can fill.
    """
    store = re.sub(r"^sqlite\+pysqlite:", "sqlite:", store)  # the driver that MLflow takes anyway
    shown = without_secrets(store) if "://" in store else re.sub(r"^\S*@", "***@", store)
    if store.startswith(SQLITE):
        return SQLITE + str(Path(store.removeprefix(SQLITE)).resolve())
    remedy = f"write {SQLITE}FILE.db or http://HOST:PORT"
    if store.startswith("file:"):
        raise InputError(f"{source} {shown}: a folder is no store that several runs can share", remedy=remedy)
    if store.startswith("sqlite"):
        raise InputError(f"{source} {shown}: not the URI of a SQLite file", remedy=remedy)
    if "://" not in store:
        raise InputError(f"{source} {shown}: not a URI", remedy=remedy)
    if store.startswith("http") and has_broken_password(store):
        raise InputError(f"{source} {shown}: an @ behind the host", remedy=WRITE_ENCODED)
    return store

"""A SQLite store that was moved or copied with its workspace: its artifact locations follow it, or sync is refused.

MLflow writes absolute locations into its database. A copy would therefore write into the files of the original. Each
experiment carries the path of the database that it was made in (tag `mlip.store`); where that differs from the path of
this database, the artifact folders below its former folder are renamed to the present ones, in one transaction
(docs/decisions/0024-artifacts-move-with-the-workspace.md).
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..common.errors import InputError
from ..common.journal.mlflow_texts import SYNCED
from .lock import WITHOUT_LOCKS
from .quiet_mlflow import MlflowClient

STORE = "mlip.store"  # tag of an experiment: the path of the database that it was made in
ARTIFACTS = "mlflow_artifacts"  # folder beside the database
_SECONDS = 30.0  # to wait for a program that writes into the database
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_REBUILD = "delete the database: the next sync builds it again from the journals"


def follow_move(database: Path, artifacts: Path) -> list[str]:
    """Rename the artifact locations of a moved or copied database to its present folder; return warnings.

    `artifacts` is the folder for a new experiment's files. Raises InputError, before anything is written, where the
    files of the runs are not beside the database, or belong to an original that still exists.
    """
    if not database.is_file() or database.stat().st_size == 0:
        return []
    with _opened(database) as connection:
        moved = [
            (former, locations)
            for former, locations in _former_homes(connection, database, artifacts).items()
            if not _is_another_name(former, database)
        ]
        folders: dict[Path, Path] = {}
        for former, locations in moved:
            folders |= _followed_folders(connection, database, former, locations)
        if moved:
            connection.execute("BEGIN IMMEDIATE")
            _rename(connection, folders)
            for former, _ in moved:
                _forget_home(connection, former, database)
            connection.execute("COMMIT")
    return [
        f"{database} was moved or copied from {former}: its runs now keep their files in {database.parent}"
        for former, _ in moved
    ]


def remember_home(client: MlflowClient, experiment: str, database: Path) -> None:
    """Write the database's own path into an experiment that does not have it yet."""
    if STORE not in client.get_experiment(experiment).tags:
        client.set_experiment_tag(experiment, STORE, str(database))


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    """Open the database; what it refuses becomes an InputError, and an unfinished transaction is rolled back."""
    try:
        with closing(sqlite3.connect(database, timeout=_SECONDS, isolation_level=None)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise InputError(f"sqlite:///{database}: the store failed ({error})", remedy_for(database)) from None


def remedy_for(database: Path) -> str:
    """Return what helps where the SQLite store `database` failed."""
    try:
        with database.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in WITHOUT_LOCKS:
            return "its file system has no locks: name a server by MLFLOW_TRACKING_URI, or a --store on a local disk"
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return "if another program has it open (MLflow, a backup), end that; then sync again"
    return "repair it, or move it aside (the journals, from which it is made, stay); then sync again"


def _former_homes(connection: sqlite3.Connection, database: Path, artifacts: Path) -> dict[Path, list[Path]]:
    """Return path of a former database -> artifact folders of its experiments, for all that is not of this path."""
    if not _columns(connection, "experiments") or not _columns(connection, "experiment_tags"):
        return {}  # not MLflow's, or not yet
    rows = connection.execute(
        "SELECT e.artifact_location, t.value FROM experiments e LEFT JOIN experiment_tags t "
        "ON t.experiment_id = e.experiment_id AND t.key = ?",
        (STORE,),
    ).fetchall()
    homes: dict[Path, list[Path]] = {}
    for location, home in rows:
        folder = _local(location)
        if folder is None:
            continue
        if home is None:  # made before the tag was: the default folder tells
            if folder.name != ARTIFACTS or folder == artifacts.resolve():
                continue
            home = folder.parent / database.name
        if Path(home) != database:
            homes.setdefault(Path(home), []).append(folder)
    return homes


def _local(location: str | None) -> Path | None:
    """Return the folder that a location names on this machine, or None."""
    parts = urlsplit(location or "")
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(location) if location and location.startswith("/") else None


def _is_another_name(former: Path, database: Path) -> bool:
    """Return whether the former path still leads to this very file, as through a second mount of its file system."""
    if not _exists(former) or not former.samefile(database):
        return False
    if database.stat().st_nlink > 1:
        raise InputError(
            f"{database}: a hard link to {former}, so that a sync here would write there",
            remedy="delete it and copy the workspace without links, or delete it alone: the next sync makes its own",
        )
    return True


def _exists(path: Path) -> bool:
    """Return whether a path is seen to exist; below a folder that is closed to this user, nothing is."""
    return os.path.exists(path)  # noqa: PTH110 - pathlib's raises PermissionError there


def _followed_folders(
    connection: sqlite3.Connection, database: Path, former: Path, locations: list[Path]
) -> dict[Path, Path]:
    """Return former folder -> present folder of the files that moved with the database.

    Raises InputError where files of the runs did not.
    """
    folders = {}
    for folder in locations:
        inside = folder.is_relative_to(former.parent)
        if not inside and _exists(former):
            raise InputError(
                f"{database}: a copy of {former}, whose runs keep their files in {folder}, which the original uses",
                remedy=f"{_REBUILD}, with another --artifacts",
            )
        here = database.parent / folder.relative_to(former.parent) if inside else folder
        (runs,) = connection.execute(
            "SELECT count(*) FROM runs WHERE substr(artifact_uri, 1, ?) = ?", _starts(f"{folder.as_uri()}/")
        ).fetchone()
        if inside and runs and not here.is_dir():
            raise InputError(
                f"{database}: moved or copied from {former} without the files of its runs ({here} does not exist)",
                remedy=f"copy {folder} there, or {_REBUILD}",
            )
        if inside:
            folders[folder] = here
    return folders


def _rename(connection: sqlite3.Connection, folders: dict[Path, Path]) -> None:
    """Rename every location in a former folder, once and by the longest: former homes may lie below one another."""
    forms = {form(before): form(after) for before, after in folders.items() for form in (Path.as_uri, str)}
    longest_first = sorted(forms, key=len, reverse=True)
    for table, column in _LOCATIONS:
        if column not in _columns(connection, table):
            continue
        rows = connection.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()  # noqa: S608, names of `_LOCATIONS`
        for row, location in rows:
            before = next((each for each in longest_first if f"{location}/".startswith(f"{each}/")), None)
            if before is not None:
                after = forms[before] + location.removeprefix(before)
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (after, row))  # noqa: S608


def _forget_home(connection: sqlite3.Connection, former: Path, database: Path) -> None:
    """Put the database's path into the experiments; runs whose files did not come along are published again."""
    connection.execute("UPDATE experiment_tags SET value = ? WHERE key = ? AND value = ?",
                       (str(database), STORE, str(former)))  # fmt: skip
    below = _starts(f"{database.parent.as_uri()}/")
    for run, location in connection.execute(
        "SELECT run_uuid, artifact_uri FROM runs WHERE substr(artifact_uri, 1, ?) = ?", below
    ).fetchall():
        folder = _local(location)
        if folder is not None and not folder.is_dir():
            connection.execute("DELETE FROM tags WHERE run_uuid = ? AND key = ?", (run, SYNCED))


def _starts(prefix: str) -> tuple[int, str]:
    """Return a prefix with its length, for a comparison without the wildcards of LIKE."""
    return len(prefix), prefix


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Return the names of a table's columns; none where there is no such table."""
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]

"""Keyed identifiers: HMAC-SHA256 of the distributed ids under a key that stays in a private folder.

The same id gives the same keyed id in every data set that shares the key, so a patient who occurs in two of them is
still one patient. Neither the key nor the map back is ever printed or written to a journal.

Splits are drawn by the distributed ids, which a new key does not change: `ids_to_split_by` reads them from the map in
the private folder, and only the part that follows is written elsewhere (docs/decisions/0038). A folder whose key is
older than that has no file `splits_by_distributed_ids`, and keeps its split by keyed ids.
"""

import csv
import hmac
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, cast, get_args

from ..errors import InputError
from ..files.atomic_files import atomic_path, private_files

IdentifierKind = Literal["distributed", "keyed"]
Subject = Literal["image", "study", "patient", "instance"]

KEY_NAME = "identifiers.key"
SPLITS_BY_DISTRIBUTED_IDS = "splits_by_distributed_ids"  # an empty file, made with a new key
_KEY_BYTES = 32
_HEX_DIGITS = 24  # 96 bits: the probability that two of a million ids agree is below 1e-17
_KEYED = re.compile(rf"({'|'.join(get_args(Subject))})-[0-9a-f]{{{_HEX_DIGITS}}}")
_MAP_COLUMNS = ["kind", "distributed_id", "keyed_id"]
_RESTORE = "restore it from a copy, or run index_inputs of the data set again"


def resolve_kind(layout: str, kind: IdentifierKind | None) -> IdentifierKind:
    """Return how a data set's identifiers are written: `kind` if it is set, else the default for its layout.

    Public data sets are de-identified and keep their ids; ids of your own folder are keyed.
    """
    return kind or ("keyed" if layout == "folder" else "distributed")


def keyed(identifier: str, subject: Subject, key: bytes) -> str:
    """Return `<subject>-<24 hex digits>`: the truncated HMAC-SHA256 (RFC 2104) of subject and distributed id."""
    digest = hmac.digest(key, f"{subject}:{identifier}".encode(), "sha256")
    return f"{subject}-{digest.hex()[:_HEX_DIGITS]}"


def read_key(private: Path | None) -> bytes:
    """Read the key that index_inputs made.

    Raises InputError where the folder or key is missing, others can read the key, or it is not 64 hex digits.
    """
    if private is None:
        raise InputError("identifiers are keyed: name the folder of the key with --private DIR")
    path = private / KEY_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such key", remedy="run index_inputs of the data set first, with the same folder"
        ) from None
    except PermissionError:
        raise _of_another_user(path) from None
    with os.fdopen(descriptor, encoding="ascii") as handle:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
            raise InputError(f"{path}: other users can read the key of the identifiers", remedy="run chmod 600 on it")
        text = handle.read().strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise InputError(
            f"{path}: not a key of {2 * _KEY_BYTES} hex digits",
            remedy="restore it from a copy (a new key changes every id)",
        )
    return key


def read_or_create_key(private: Path | None) -> bytes:
    """Read the key in `private`; create it with mode 0600 if there is none yet."""
    if private is not None and private.exists() and not os.access(private, os.R_OK | os.W_OK | os.X_OK):
        raise _of_another_user(private)
    if private is not None and not (private / KEY_NAME).exists():
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = private / f".{KEY_NAME}.{os.getpid()}.tmp"
        _write_private(temporary, secrets.token_hex(_KEY_BYTES) + "\n")
        (private / SPLITS_BY_DISTRIBUTED_IDS).touch(mode=0o600)  # before the key: with one, there is a choice already
        try:
            os.link(temporary, private / KEY_NAME)  # fails if another job was faster; that job's key then holds
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return read_key(private)


def _of_another_user(path: Path) -> InputError:
    what = f"{path}: identifiers are keyed, and only the user whose run made the key may use it"
    return InputError(what, "let that user run this stage, or set a `workspace` of your own")


def write_map(path: Path, pairs: Iterable[tuple[Subject, str, str]]) -> None:
    """Write the map from keyed to distributed ids: a CSV of kind, distributed_id, keyed_id, with mode 0600."""
    with (
        private_files(),
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as handle,
    ):
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(_MAP_COLUMNS)
        writer.writerows(sorted(pairs))


def read_map(path: Path) -> dict[str, str]:
    """Return keyed id -> distributed id of a file of `write_map`. Raises InputError where it is missing or damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            header, *rows = csv.reader(lines)
    except FileNotFoundError:
        raise InputError(f"{path}: the map of keyed ids is missing", _RESTORE) from None
    except (ValueError, csv.Error):  # another encoding, or no line at all
        header, rows = [], []
    if header != _MAP_COLUMNS or any(len(row) != len(_MAP_COLUMNS) for row in rows):
        what = f"{path}: the map of keyed ids is damaged: not a CSV in UTF-8 with {', '.join(_MAP_COLUMNS)} in each row"
        raise InputError(what, _RESTORE)
    return {name: distributed for _, distributed, name in rows}


def ids_to_split_by(private: Path | None, dataset: str, ids: Iterable[str | None]) -> Callable[[str], str]:
    """Return the function from an id to the one by which its patient or image is split; `ids` are those of the index.

    That is the distributed id, where ids are keyed and their folder says so; else the id itself. Its values must not be
    written, logged or quoted. Raises InputError where the map lacks one of `ids` that is keyed, or has another id for
    it than it was made of: the split would be another.
    """
    subjects = {each: found[1] for each in ids if each is not None and (found := _KEYED.fullmatch(each))}
    if private is None or not subjects:  # not looked into without need: only one user may
        return str
    if not (private / SPLITS_BY_DISTRIBUTED_IDS).is_file():
        return str
    path, key = private / f"{dataset}.csv", read_key(private)
    known = read_map(path)
    lacking = [name for name, subject in subjects.items()
               if name not in known or keyed(known[name], cast("Subject", subject), key) != name]  # fmt: skip
    if lacking:
        what = f"{path}: lacks the right id of {len(lacking):,} of {len(subjects):,} keyed ids, e.g. of {min(lacking)}"
        raise InputError(what, _RESTORE)
    return lambda identifier: known.get(identifier, identifier)


def _write_private(path: Path, text: str) -> None:
    """Write a new file that others can never read, not even while it is still empty."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())

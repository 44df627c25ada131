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
import secrets
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from ..errors import InputError
from ..files.atomic_files import atomic_path

IdentifierKind = Literal["distributed", "keyed"]
Subject = Literal["image", "study", "patient", "instance"]

KEY_NAME = "identifiers.key"
SPLITS_BY_DISTRIBUTED_IDS = "splits_by_distributed_ids"  # an empty file, made with a new key
_KEY_BYTES = 32
_HEX_DIGITS = 24  # 96 bits: the probability that two of a million ids agree is below 1e-17


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


def write_map(path: Path, pairs: Iterable[tuple[Subject, str, str]]) -> None:
    """Write the map from keyed to distributed ids: a CSV of kind, distributed_id, keyed_id, with mode 0600."""
    with atomic_path(path) as temporary:
        _write_private(temporary, "")
        with temporary.open("a", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(["kind", "distributed_id", "keyed_id"])
            writer.writerows(sorted(pairs))


def ids_to_split_by(private: Path | None, dataset: str) -> Callable[[str], str]:
    """Return the function from an id of the tables to the one by which its patient or image is split.

    That is the distributed id, where ids are keyed and their folder says so; else the id itself. Its values must not be
    written, logged or quoted.
    """
    if private is None or not (private / SPLITS_BY_DISTRIBUTED_IDS).is_file():
        return str
    path = private / f"{dataset}.csv"
    if not path.is_file():
        return str  # its ids are not keyed
    with path.open(encoding="utf-8", newline="") as lines:
        distributed = {row["keyed_id"]: row["distributed_id"] for row in csv.DictReader(lines)}
    return lambda identifier: distributed.get(identifier, identifier)


def _write_private(path: Path, text: str) -> None:
    """Write a new file that others can never read, not even while it is still empty."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())

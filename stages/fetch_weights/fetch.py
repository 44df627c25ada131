"""One model into one folder: safetensors, configuration, tokenizer, and a record of what they are."""

import shutil
import sys
from pathlib import Path
from typing import Any

from stages.common.atomic_files import atomic_path, read_json, sha256_of, sidecar_of, verify, write_json, write_sidecar
from stages.common.errors import InputError
from stages.common.weight_files import CONFIGURATION, RECORD, TENSORS
from stages.fetch_weights.hub import BESIDE, CARD, license_of, snapshot

_SAFE, _PICKLE = TENSORS


def fetch(identifier: str, folder: Path) -> dict[str, Any]:
    """Fill `folder` unless it is whole already, and write its weights.json; returns what stands in it.

    In this order: a folder with its record is checked against it; files that were put there by hand are taken as they
    are; else the hub, or its cache on this machine. A torch file becomes safetensors once, without running its code.
    """
    record = folder / RECORD
    if record.is_file() and _is_whole(folder, read_json(record), identifier):
        _say(f"{folder}: already there")
        return read_json(record)
    if _is_by_hand(folder):
        revision, files = None, {name: folder / name for name in (*BESIDE, *TENSORS) if (folder / name).is_file()}
        _say(f"{folder}: files put there by hand are taken; their revision is unknown")
    else:
        found = snapshot(identifier, folder)
        revision, files = found.revision, found.files
        _say(f"{identifier}: revision {revision}")
    converted = _place(files, folder)
    names = {*files, _SAFE} - {_PICKLE} if converted else set(files)
    written = {
        "id": identifier,
        "revision": revision,
        "license": license_of(folder / CARD),
        "files": {
            name: {"sha256": write_sidecar(folder / name), "bytes": (folder / name).stat().st_size}
            for name in sorted(names)
        },
        "converted_from": converted,
    }
    write_json(record, written)
    if written["license"] == "unknown":
        _say(
            f"WARNING: {identifier}: no model card names its license; find it out before you share what starts from it"
        )
    return written


def _place(files: dict[str, Path], folder: Path) -> dict[str, str] | None:
    """Copy files to `folder`, tensors last and as safetensors; returns the torch file that was converted."""
    if _SAFE not in files and _convert(files[_PICKLE], folder / _SAFE):
        files = dict(files)
        converted = {"file": _PICKLE, "sha256": sha256_of(files.pop(_PICKLE))}
    else:
        converted = None
    for name in sorted(files, key=TENSORS.__contains__):
        if files[name].parent != folder:
            with atomic_path(folder / name) as temporary:
                shutil.copyfile(files[name], temporary)
            write_sidecar(folder / name)  # now: it tells files of the hub from those put here by hand
    return converted


def _convert(source: Path, target: Path) -> bool:
    """Write a torch file as safetensors; False where there is no torch, as on a login node that only runs snakemake."""
    try:
        from safetensors.torch import save_file

        from stages.common.tensor_files import read_tensors
    except ImportError:
        _say(f"{source.name}: stays as it is, for there is no torch here; it is read without running its code")
        return False
    # Cloned: the tied embeddings of a BERT share memory, which safetensors refuses.
    tensors = {name: tensor.clone().contiguous() for name, tensor in read_tensors(source).items()}
    with atomic_path(target) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    _say(f"{source.name}: converted to {target.name}")
    return True


def _is_whole(folder: Path, record: dict[str, Any], identifier: str) -> bool:
    """Whether every file of the record is there; one that changed since is an InputError."""
    if record["id"] != identifier:
        raise InputError(f"{folder / RECORD}: of {record['id']}, not of {identifier}; delete the folder")
    if not all((folder / name).is_file() for name in record["files"]):
        return False
    for name, file in record["files"].items():
        if verify(folder / name) != file["sha256"]:
            raise InputError(
                f"{folder / name}: not the file of {RECORD}; delete {RECORD} to take it, or the file to fetch it"
            )
    return True


def _is_by_hand(folder: Path) -> bool:
    """A configuration and tensors that this stage did not write: theirs have a side-car."""
    has_tensors = any((folder / name).is_file() for name in TENSORS)
    return has_tensors and (folder / CONFIGURATION).is_file() and not sidecar_of(folder / CONFIGURATION).is_file()


def _say(line: str) -> None:
    print(line, file=sys.stderr)

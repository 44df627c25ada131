"""Fetching of one model into one folder: safetensors, configuration, tokenizer, and a record of them.

Files come from the hub, or from the hub cache of this machine where the hub cannot be reached.
"""

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, ModelCard, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,  # of the HTTP client, whichever the package uses
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from ..common.encoders.weight_files import CONFIGURATION, RECORD, TENSORS, ConvertedFile, WeightFile, WeightsRecord
from ..common.errors import InputError, first_line
from ..common.files.atomic_files import (
    atomic_path,
    sha256_of,
    sidecar_of,
    verify,
    write_json,
    write_sidecar,
)
from ..common.journal.tracking import track_job
from ..common.records import parse_record
from .contract import FetchWeightsJob

CARD = "README.md"
BESIDE = (CONFIGURATION, "tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json", CARD)
_SECONDS = 8.0  # to wait for the hub's first answer before the cache is used


@dataclass(frozen=True)
class Snapshot:
    """Files of one commit in the hub cache; exactly one of them is named in TENSORS."""

    revision: str
    files: dict[str, Path]


def snapshot(identifier: str, folder: Path) -> Snapshot:
    """Fetch configuration, tokenizer, card and tensors of a model: safetensors if it has them, else the torch file.

    `folder` is where they will go, for the message. HF_HUB_OFFLINE, HF_HOME, HF_TOKEN and HF_ENDPOINT are honoured.
    Raises InputError where the model or one of its files is unavailable.
    """
    try:
        names = {sibling.rfilename for sibling in HfApi().model_info(identifier, timeout=_SECONDS).siblings or []}
        tensors = next((name for name in TENSORS if name in names), None)
        _require(identifier, names, tensors)
        files = {name: Path(hf_hub_download(identifier, name)) for name in (*BESIDE, tensors) if name in names}
    except GatedRepoError:
        raise InputError(
            f"{identifier}: {constants.ENDPOINT} requires you to accept its terms",
            remedy="accept them there, then set HF_TOKEN",
        ) from None
    except RepositoryNotFoundError:
        raise InputError(
            f"{identifier}: no such model on {constants.ENDPOINT} (or it needs HF_TOKEN)",
            remedy="correct `weights`: an id, a timm name with its tag, or the path of a local file or folder",
        ) from None
    except (HTTPError, HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        files = _cached(identifier, folder, _reason(error))
    for path in files.values():
        _check_download(path)
    return Snapshot(next(iter(files.values())).parent.name, files)


def license_of(card: Path) -> str:
    """Return the license that a model card states, or `unknown`."""
    if not card.is_file():
        return "unknown"
    data = ModelCard.load(card, ignore_metadata_errors=True).data
    said = data.get("license")
    if said == "other":
        said = data.get("license_name") or data.get("license_link") or said
    return str(said) if said else "unknown"


def _cached(identifier: str, folder: Path, reason: str) -> dict[str, Path]:
    found = {name: try_to_load_from_cache(identifier, name) for name in (*BESIDE, *TENSORS)}
    files = {name: Path(path) for name, path in found.items() if isinstance(path, str)}
    tensors = next((name for name in TENSORS if name in files), None)
    if CONFIGURATION not in files or tensors is None:
        wanted = [CONFIGURATION] * (CONFIGURATION not in files) + [" or ".join(TENSORS)] * (tensors is None)
        raise InputError(
            f"{identifier}: {', '.join(wanted)} not in the hub cache {constants.HF_HUB_CACHE}, and no answer from "
            f"{constants.ENDPOINT} ({reason})",
            remedy=f"on a machine with network run `hf download {identifier} --local-dir "
            f"FOLDER`, then copy the contents of FOLDER to {folder}",
        )
    return {name: path for name, path in files.items() if name not in TENSORS or name == tensors}


def _require(identifier: str, names: set[str], tensors: str | None) -> None:
    if CONFIGURATION not in names or tensors is None:
        wanted = CONFIGURATION if CONFIGURATION not in names else " nor ".join(TENSORS)
        raise InputError(
            f"{identifier}: no {wanted} on {constants.ENDPOINT}",
            remedy="use a model in the layout of transformers or timm, or fetch its file by hand and give the path",
        )


def _check_download(path: Path) -> None:
    """Compare a large file with the sha256 in its cache name, which detects a bit flipped on the way or on disk.

    Raises InputError where they differ.
    """
    blob = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name) and sha256_of(blob) != blob.name:
        raise InputError(f"{blob}: damaged ({path.name}: wrong sha256)", remedy="delete it and run again")


def _reason(error: Exception) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    return f"{type(error).__name__}: {first_line(error)}"


_SAFE, _PICKLE = TENSORS


def fetch_model(job: FetchWeightsJob) -> None:
    """Fetch the model of the settings and keep the journal."""
    with track_job(job) as run:
        record = fetch(job.settings.id, job.folder)
        run.log_tag("revision", record.revision or "unknown")
        run.log_tag("license", record.license)
        run.log_metric("bytes", sum(file.bytes for file in record.files.values()))
        run.log_artifact(job.folder / RECORD)


def fetch(identifier: str, folder: Path) -> WeightsRecord:
    """Fill `folder` unless it is complete, write its weights.json, and return its contents.

    A folder with its record is checked against it. Else files put there by hand are used. Else they come from the hub,
    or its cache on this machine. A torch file is converted to safetensors once, without running its code.
    """
    path = folder / RECORD
    if path.is_file() and _is_whole(folder, record := parse_record(path, WeightsRecord), identifier):
        _say(f"{folder}: already there")
        return record
    if _is_by_hand(folder):
        revision, files = None, {name: folder / name for name in (*BESIDE, *TENSORS) if (folder / name).is_file()}
        _say(f"{folder}: files put there by hand are taken; their revision is unknown")
    else:
        found = snapshot(identifier, folder)
        revision, files = found.revision, found.files
        _say(f"{identifier}: revision {revision}")
    converted = _place(files, folder)
    names = {*files, _SAFE} - {_PICKLE} if converted else set(files)
    record = WeightsRecord(
        id=identifier,
        revision=revision,
        license=license_of(folder / CARD),
        files={
            name: WeightFile(sha256=write_sidecar(folder / name), bytes=(folder / name).stat().st_size)
            for name in sorted(names)
        },
        converted_from=converted,
    )
    write_json(path, record.model_dump(mode="json"))
    if record.license == "unknown":
        _say(
            f"WARNING: {identifier}: no model card names its license; find it out before you share what starts from it"
        )
    return record


def _place(files: dict[str, Path], folder: Path) -> ConvertedFile | None:
    """Copy files to `folder`, tensors last and as safetensors; return the torch file that was converted, if any."""
    if _SAFE not in files and _convert(files[_PICKLE], folder / _SAFE):
        files = dict(files)
        converted = ConvertedFile(file=_PICKLE, sha256=sha256_of(files.pop(_PICKLE)))
    else:
        converted = None
    for name in sorted(files, key=TENSORS.__contains__):
        if files[name].parent != folder:
            with atomic_path(folder / name) as temporary:
                shutil.copyfile(files[name], temporary)
            write_sidecar(folder / name)  # now, because it tells files of the hub from those put here by hand
    return converted


def _convert(source: Path, target: Path) -> bool:
    """Write a torch file as safetensors; return False without torch, as on a login node that only runs snakemake."""
    try:
        from safetensors.torch import save_file

        from ..common.encoders.tensor_files import read_tensors
    except ImportError:
        _say(f"{source.name}: stays as it is, for there is no torch here; it is read without running its code")
        return False
    # Cloned, because the tied embeddings of a BERT share memory, which safetensors refuses.
    tensors = {name: tensor.clone().contiguous() for name, tensor in read_tensors(source).items()}
    with atomic_path(target) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    _say(f"{source.name}: converted to {target.name}")
    return True


def _is_whole(folder: Path, record: WeightsRecord, identifier: str) -> bool:
    """Return whether every file of the record exists. Raises InputError where one has changed since."""
    if record.id != identifier:
        raise InputError(f"{folder / RECORD}: records {record.id}, not {identifier}", "delete the folder")
    if not all((folder / name).is_file() for name in record.files):
        return False
    for name, file in record.files.items():
        if verify(folder / name) != file.sha256:
            raise InputError(
                f"{folder / name}: not the file recorded in {RECORD}",
                remedy=f"delete {RECORD} to accept the file, or the file to fetch it again",
            )
    return True


def _is_by_hand(folder: Path) -> bool:
    """Return whether a configuration and tensors were put there by hand; files of this stage have a side-car."""
    has_tensors = any((folder / name).is_file() for name in TENSORS)
    return has_tensors and (folder / CONFIGURATION).is_file() and not sidecar_of(folder / CONFIGURATION).is_file()


def _say(line: str) -> None:
    print(line, file=sys.stderr)

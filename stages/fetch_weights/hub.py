"""A model's files from the hub, or from the hub cache of this machine where the hub cannot be reached."""

import re
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

from stages.common.atomic_files import sha256_of
from stages.common.errors import InputError
from stages.common.weight_files import CONFIGURATION, TENSORS

CARD = "README.md"
BESIDE = (CONFIGURATION, "tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json", CARD)
_SECONDS = 8.0  # to wait for the hub's first answer before the cache is asked


@dataclass(frozen=True)
class Snapshot:
    """Files of one commit, in the hub cache; exactly one of them is of TENSORS."""

    revision: str
    files: dict[str, Path]


def snapshot(identifier: str, folder: Path) -> Snapshot:
    """Configuration, tokenizer, card and tensors of a model: safetensors where it has them, else the torch file.

    `folder` is where they will go, for the message. HF_HUB_OFFLINE, HF_HOME, HF_TOKEN and HF_ENDPOINT are honoured.
    """
    try:
        names = {sibling.rfilename for sibling in HfApi().model_info(identifier, timeout=_SECONDS).siblings or []}
        tensors = next((name for name in TENSORS if name in names), None)
        _require(identifier, names, tensors)
        files = {name: Path(hf_hub_download(identifier, name)) for name in (*BESIDE, tensors) if name in names}
    except GatedRepoError:
        raise InputError(
            f"{identifier}: {constants.ENDPOINT} asks for an agreement; accept it there, then set HF_TOKEN"
        ) from None
    except RepositoryNotFoundError:
        raise InputError(
            f"{identifier}: no such model on {constants.ENDPOINT} (or it needs HF_TOKEN); correct `weights`: an id, a "
            "timm name with its tag, or the path of a local file or folder"
        ) from None
    except (HTTPError, HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        files = _cached(identifier, folder, _reason(error))
    for path in files.values():
        _check_download(path)
    return Snapshot(next(iter(files.values())).parent.name, files)


def license_of(card: Path) -> str:
    """What a model card says, `unknown` where it says nothing."""
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
            f"{constants.ENDPOINT} ({reason}); where there is a network run `hf download {identifier} --local-dir "
            f"FOLDER`, and put what is in FOLDER into {folder}"
        )
    return {name: path for name, path in files.items() if name not in TENSORS or name == tensors}


def _require(identifier: str, names: set[str], tensors: str | None) -> None:
    if CONFIGURATION not in names or tensors is None:
        wanted = CONFIGURATION if CONFIGURATION not in names else " nor ".join(TENSORS)
        raise InputError(
            f"{identifier}: no {wanted} on {constants.ENDPOINT}; take a model in the layout of transformers or timm, "
            "or fetch its file by hand and give the path"
        )


def _check_download(path: Path) -> None:
    """The cache names a large file by its sha256: a bit that flipped on the way or on disk is seen here."""
    blob = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name) and sha256_of(blob) != blob.name:
        raise InputError(f"{blob}: damaged ({path.name}; its sha256 is another); delete it and run again")


def _reason(error: Exception) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"

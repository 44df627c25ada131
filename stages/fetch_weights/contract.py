"""What fetch_weights writes, and the names of encoders.

`weights` in config.yaml names a local path, used as it is, or a model of the hub, which is fetched first.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from ..common.contract import Job, option
from ..common.settings import Settings

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")
_FILE_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".tar")


def hub_id(weights: str, *, image: bool = False) -> str | None:
    """Return the hub's id for `weights`, or None for a path: it exists here, has a file's suffix, or cannot be an id.

    Image weights may be named as in timm, with the tag: vit_base_patch16_224.mae is timm/vit_base_patch16_224.mae.
    """
    if Path(weights).exists() or weights.endswith(_FILE_SUFFIXES) or not HUB_ID.match(weights):
        return None
    return f"timm/{weights}" if image and "/" not in weights else weights


def folder_name(identifier: str) -> str:
    """Return a model's folder under `<workspace>/weights/`.

    The hub forbids "--" in names, so the mapping can be inverted.
    """
    return identifier.replace("/", "--")


def identifier_of(folder: str) -> str:
    """Return the hub's id of a model's folder under `<workspace>/weights/`."""
    return folder.replace("--", "/")


class FetchWeightsSettings(Settings):
    """Settings of one fetch."""

    id: str = Field(
        pattern=HUB_ID.pattern, description="id of a model on the Hugging Face hub, e.g. timm/vit_base_patch16_224.mae"
    )


@dataclass(frozen=True, kw_only=True)
class FetchWeightsJob(Job):
    """Fetch a pre-trained encoder of the Hugging Face hub into a local folder, because compute nodes have no network.

    The folder gets weights.json (id, revision, license, sha256 and bytes), model.safetensors, config.json and, where
    the model has them, tokenizer and model card. A complete folder is left unchanged. Files put there by hand, and the
    hub cache of this machine, are used.
    """

    stage = "fetch_weights"
    place = "{model}"
    over = "model"
    block = None  # what is fetched follows from the encoders that other blocks name

    settings: FetchWeightsSettings
    folder: Path = option("folder to fill; weights.json in it comes last")

"""Weights to start from: there, or to be fetched from where snakemake is typed."""

import os
import urllib.error
import urllib.request
from pathlib import Path

from huggingface_hub import constants

from stages.common.errors import InputError
from stages.common.weight_files import RECORD, tokenizer_file, weight_files
from stages.config import Config
from stages.fetch_weights.sources import folder_name, hub_id
from workflow.doctor.findings import Finding

_SECONDS = 8.0


def check_weights(config: Config) -> list[Finding]:
    """A finding for each encoder and tokenizer that the configuration names."""
    named: dict[str, Finding] = {}
    tokenizer = config.settings("split_reports", config.pretrain_on).tokenizer.weights
    if tokenizer:
        named[tokenizer] = check_weight(tokenizer, Path(config.workspace), tokenizer=True)
    for variant in config.compare:
        model = config.settings("pretrain", variant=variant).model
        for weights, image in ((model.image.weights, True), (model.text.weights, False)):
            if weights and weights not in named:
                named[weights] = check_weight(weights, Path(config.workspace), image=image)
    return list(named.values()) or [Finding("ok", "weights", "none named: encoders start at random")]


def check_weight(weights: str, workspace: Path, image: bool = False, tokenizer: bool = False) -> Finding:
    subject = "weights"
    identifier = hub_id(weights, image=image)
    if identifier is None:
        try:
            files = [*weight_files(Path(weights)), *([tokenizer_file(Path(weights))] if tokenizer else [])]
        except InputError as error:
            return Finding.of_error(subject, str(error))
        return Finding("ok", subject, f"{weights}: {', '.join(file.name for file in files)} are there")
    folder = workspace / "weights" / folder_name(identifier)
    if (folder / RECORD).is_file():
        return Finding("ok", subject, f"{identifier}: fetched, in {folder}")
    by_hand = (
        f"fetch it where there is a network (`hf download {identifier} --local-dir FOLDER`) and put what is in FOLDER "
        f"into {folder}"
    )
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        return Finding("error", subject, f"{identifier}: not in {folder}, and HF_HUB_OFFLINE is set", by_hand)
    problem = _unreachable(identifier)
    if problem:
        what = f"{identifier}: not in {folder}, and {constants.ENDPOINT} does not hand it out: {problem}"
        return Finding("error", subject, what, by_hand)
    return Finding("ok", subject, f"{identifier}: {constants.ENDPOINT} has it; snakemake will fetch it to {folder}")


def _unreachable(identifier: str) -> str | None:
    """Why the hub has no such model for us, or None."""
    address = f"{constants.ENDPOINT}/api/models/{identifier}"
    token = os.environ.get("HF_TOKEN")
    request = urllib.request.Request(  # noqa: S310 (the address is the hub's, as the hub's own library has it)
        address, headers={"Authorization": f"Bearer {token}"} if token else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        hint = " (no such model, or it needs HF_TOKEN)" if error.code in (401, 403, 404) else ""
        return f"HTTP {error.code}{hint}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", None) or error)

"""Chosen models in MLflow's registry: one version a set of weights, with its metrics and the decision behind it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stages.common.errors import InputError
from stages.sync.quiet_mlflow import MlflowClient, MlflowException

_WEIGHTS = "mlip.weights_sha256"
_LONGEST = 5000  # characters of a tag that every store takes


def register(
    client: MlflowClient,
    name: str,
    folder: Path,
    metrics: Mapping[str, float],
    decision: Mapping[str, Any],
    run_id: str | None = None,
) -> str:
    """Register the model of `folder` (mlflow_model of select_checkpoint) under `name`; returns its version.

    Idempotent: weights that a version has already keep it, and what is said of them is brought up to date. The registry
    points to the folder, where it lies; the files are not copied.
    """
    weights = _weights_of(folder)
    try:
        client.create_registered_model(name, description="Chosen checkpoints of MLIP, one version a set of weights.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    present = {each.tags.get(_WEIGHTS): each.version for each in client.search_model_versions(f"name = '{name}'")}
    tags = {f"metric.{key}": f"{value:.6g}" for key, value in metrics.items()}
    tags |= {f"selection.{key}": str(value)[:_LONGEST] for key, value in decision.items()}
    if weights in present:
        version = present[weights]
        for key, value in tags.items():
            client.set_model_version_tag(name, version, key, value)
    else:
        made = client.create_model_version(
            name,
            folder.resolve().as_uri(),
            run_id=run_id,
            tags=tags | {_WEIGHTS: weights},
            description=_words(decision),
        )
        version = made.version
    return str(version)


def _weights_of(folder: Path) -> str:
    try:
        return yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))["metadata"]["weights_sha256"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        raise InputError(f"{folder}: no model of select_checkpoint; run that stage again") from None


def _words(decision: Mapping[str, Any]) -> str:
    """The decision in a sentence, with its reason where the stage gives one."""
    candidates = decision.get("candidates", {})
    first = (
        f"Step {decision.get('chosen_step')} of {len(candidates)} candidates, by {decision.get('criterion')} on "
        f"{decision.get('split')} data."
    )
    return " ".join([first, *([f"{decision['reason']}."] if decision.get("reason") else [])])

"""Read the profile of a site, and what must be set in it.

What a site must set before its cluster takes a job: checked when the workflow is read, not by 60 failed jobs.

A Snakemake profile and the configuration that it lays over config.yaml, read without starting Snakemake.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from stages.common.errors import InputError
from stages.common.yaml_files import parse_yaml, read_mapping
from stages.config import Config, check, merged
from stages.config_layers import Layer

UNSET = "CHANGE_ME"


def check_account(default_resources: Mapping[str, Any] | None) -> None:
    """Refuse a `slurm_account` that is still the profile's placeholder. Values have their text in `.raw`."""
    account = (default_resources or {}).get("slurm_account")
    if account is not None and account.raw == UNSET:
        raise InputError(
            f"slurm/config.yaml: default-resources: slurm_account is still {UNSET}",
            remedy="write your account there "
            "(`sacctmgr show associations user=$USER` lists yours), or delete the line if your cluster has no accounts",
        )


@dataclass(frozen=True)
class SiteProfile:
    """What a profile's config.yaml says; `path` is that file."""

    path: Path
    values: Mapping[str, Any]

    @property
    def on_slurm(self) -> bool:
        return self.values.get("executor") == "slurm"

    @property
    def in_containers(self) -> bool:
        return self.values.get("software-deployment-method") == "apptainer"

    @property
    def asks_by_squeue(self) -> bool:
        """Whether Snakemake asks for its jobs by squeue instead of sacct."""
        return self.values.get("slurm-status-command") == "squeue"

    @property
    def retries(self) -> int:
        """Further attempts of a job, where its rule does not say otherwise."""
        return int(self.values.get("retries") or 0)

    @property
    def default_resources(self) -> dict[str, Any]:
        return _mapping(self.values.get("default-resources"))

    def resources_of(self, rule: str) -> dict[str, Any]:
        """Return what the profile asks for a rule: its own resources over the default ones."""
        return self.default_resources | _mapping((self.values.get("set-resources") or {}).get(rule))


def read_profile(folder: Path) -> SiteProfile:
    """Return the profile in a folder, as `snakemake --profile FOLDER` takes it."""
    path = Path(folder) / "config.yaml"
    return SiteProfile(path, read_mapping(path, "give a folder of workflow/profiles, e.g. slurm"))


def configuration(profile: SiteProfile, assignments: Sequence[str] = (), root: Path = Path()) -> Config:
    """Check config.yaml with the profile's `configfile` and assignments (KEY=VALUE) merged over it."""
    layers = [Layer("config.yaml", read_mapping(root / "config.yaml", "call from the folder of the checkout"))]
    overlays = profile.values.get("configfile") or []
    for overlay in [overlays] if isinstance(overlays, str) else overlays:
        layers.append(Layer(str(overlay), read_mapping(root / overlay, f"correct `configfile` in {profile.path}")))
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator:
            raise InputError(f"--config {assignment}: not KEY=VALUE", remedy="write for example sample_root=FOLDER")
        layers.append(Layer("--config", {key: parse_yaml(value, f"--config {key}")}))
    return check(reduce(merged, (layer.values for layer in layers)), layers)


def snakemake_layers(workflow: Any) -> list[Layer]:
    """Return what Snakemake merged into its `config`: its own files, `--configfile`s, then `--config`."""
    above = workflow.config_settings
    files = [] if above.replace_workflow_config else [
        Path(each) for each in workflow.configfiles if Path(each).absolute() not in above.configfiles
    ]  # fmt: skip
    layers = [Layer(os.path.relpath(each), read_mapping(each, "correct it")) for each in [*files, *above.configfiles]]
    return [*layers, Layer("--config", above.config)]


def _mapping(value: Any) -> dict[str, Any]:
    """Resources as a mapping, whether they are written as one or as a list of NAME=VALUE."""
    if isinstance(value, list):
        return dict(str(each).partition("=")[::2] for each in value)
    return dict(value or {})

"""The profile of a site: Snakemake's profile and the configuration that it puts over config.yaml.

It is read without starting Snakemake. What a site must set before its cluster accepts a job is checked when the
workflow is read, not by 60 failed jobs.
"""

import os
import re
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt

from stages.common.errors import InputError
from stages.common.files.atomic_files import check_writable
from stages.common.settings import checked_path, validating
from stages.common.yaml_files import parse_yaml, read_mapping
from stages.config import check
from stages.config_layers import Layer, merged
from stages.configuration import Config
from workflow.gpu_requests import asked_gpus
from workflow.job_groups import check_groups, shared_by_groups
from workflow.rule_requests import Request, refuse_unknown_rules

UNSET = "CHANGE_ME"
_PADDED = re.compile(r"[-+]?0[\d_]")
_WHOLE = re.compile(r"[-+]?[\d_]+")
LOCAL = "workflow/profiles/local"


def check_account(default_resources: Mapping[str, Any] | None) -> None:
    """Raise an InputError for a `slurm_account` that is still the profile's placeholder.

    Values have their text in `.raw`.
    """
    account = (default_resources or {}).get("slurm_account")
    if account is not None and account.raw == UNSET:
        raise InputError(
            f"slurm/config.yaml: default-resources: slurm_account is still {UNSET}",
            remedy="write your account there "
            "(`sacctmgr show associations user=$USER` lists yours), or delete the line if your cluster has no accounts",
        )


def check_checkout(folder: Path) -> None:
    """Refuse a checkout whose path would mean something else to a shell or to Snakemake."""
    try:
        checked_path(str(folder))
    except ValueError as error:
        raise InputError(f"the checkout {folder}: {error}") from None


def check_records(folder: Path) -> None:
    """Refuse a current folder in which Snakemake cannot keep its records: it would end with a traceback."""
    for each in (folder, *(folder / name for name in ("locks", "metadata", "incomplete", "log"))):
        try:
            check_writable(each, folder=True)
        except InputError as error:
            remedy = error.remedy
            if each.is_dir() and not os.access(each, os.W_OK):
                remedy = f"its owner has to allow it: chmod -R g+w {folder}"
            elif not os.access(folder.parent, os.W_OK):
                remedy = "call from a folder of your own, with -s (docs/operators/shared_file_systems.md)"
            raise InputError(f"Snakemake's records in {error.what}", remedy) from None


def _as_mapping(value: Any) -> Any:
    """Return resources as a mapping, whether they are written as one, as a list of NAME=VALUE, or not at all."""
    if isinstance(value, list):
        return dict(str(each).partition("=")[::2] for each in value)
    return {} if value is None else value


Resources = Annotated[dict[str, Any], BeforeValidator(_as_mapping)]


class ProfileValues(BaseModel):
    """The keys of a profile's config.yaml that are looked at here; Snakemake knows the others."""

    executor: str | None = None
    software_deployment_method: str | list[str] | None = None
    slurm_status_command: str | None = None
    retries: int = 0
    configfile: str | list[str] = Field(default_factory=list)
    resources: Resources = Field(default_factory=dict)
    set_resource_scopes: Resources = Field(default_factory=dict)
    default_resources: Resources = Field(default_factory=dict)
    set_resources: dict[str, Resources] = Field(default_factory=dict)
    set_threads: Annotated[dict[str, int], BeforeValidator(_as_mapping)] = Field(default_factory=dict)
    groups: Annotated[dict[str, str], BeforeValidator(_as_mapping)] = Field(default_factory=dict)
    group_components: Annotated[dict[str, PositiveInt], BeforeValidator(_as_mapping)] = Field(default_factory=dict)

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))


@dataclass(frozen=True)
class SiteProfile:
    """Contents of a profile's config.yaml; `path` is that file."""

    path: Path
    values: Mapping[str, Any]

    @cached_property
    def known(self) -> ProfileValues:
        """The keys that are looked at, checked."""
        with validating(str(self.path)):
            return ProfileValues.model_validate(self.values)

    @property
    def on_slurm(self) -> bool:
        """Return whether jobs go to SLURM."""
        return self.known.executor == "slurm"

    @property
    def in_containers(self) -> bool:
        """Return whether jobs run in Apptainer's containers."""
        return "apptainer" in (self.known.software_deployment_method or ())

    @property
    def asks_by_squeue(self) -> bool:
        """Return whether Snakemake asks for its jobs by squeue instead of sacct."""
        return self.known.slurm_status_command == "squeue"

    @property
    def retries(self) -> int:
        """Return the number of further attempts of a job, unless its rule says otherwise."""
        return self.known.retries

    @property
    def default_resources(self) -> dict[str, Any]:
        """Return the resources of rules that have none of their own."""
        return self.known.default_resources

    def resources_of(self, rule: str) -> dict[str, Any]:
        """Return the profile's request for a rule: its own and its group's resources over the default ones."""
        return self.default_resources | self._set_resources.get(rule, {})

    @cached_property
    def _set_resources(self) -> dict[str, dict[str, Any]]:
        with _of(self.path):
            return shared_by_groups(self.groups, self.known.set_resources)

    def check_rules(self, rules: Mapping[str, Request]) -> None:
        """Refuse groups that cannot work, names that are no rules of the workflow, and GPUs that are no number."""
        known = self.known
        with _of(self.path):
            refuse_unknown_rules("set-resources", known.set_resources, rules)
            refuse_unknown_rules("set-threads", known.set_threads, rules)
            check_groups(known.groups, known.group_components, known.resources, known.set_resource_scopes,
                         known.default_resources, rules)  # fmt: skip
            for rule, asked in shared_by_groups(known.groups, known.set_resources).items():
                asked_gpus(rule, asked, rules[rule].gpus)

    @property
    def threads(self) -> dict[str, int]:
        """Return the threads of the rules for which the profile says other than the rule."""
        return self.known.set_threads

    @property
    def groups(self) -> dict[str, str]:
        """Return the group of each rule that is in one, with wildcards."""
        return self.known.groups

    @property
    def group_components(self) -> dict[str, int]:
        """Return how many parts that do not depend on each other share one job, by group."""
        return self.known.group_components

    def whole_number(self, resource: str, default: int) -> int:
        """Return a number of the profile's global `resources`."""
        value = self.known.resources.get(resource, default)
        if not str(value).isdecimal():
            raise InputError(f"{self.path}: resources.{resource}: {value!r} is no whole number", remedy="correct it")
        return int(value)


@contextmanager
def _of(path: Path) -> Iterator[None]:
    """Put the profile's name before what is wrong in it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error.what}", error.remedy) from None


def read_profile(folder: Path) -> SiteProfile:
    """Read the profile in a folder, as `snakemake --profile FOLDER` does."""
    path = Path(folder) / "config.yaml"
    return SiteProfile(path, read_mapping(path, "give a folder of workflow/profiles, e.g. slurm"))


def add_options(parser: ArgumentParser) -> None:
    """Add the options that choose profile and configuration, which are those of `snakemake`."""
    default = os.environ.get("SNAKEMAKE_PROFILE") or LOCAL
    words = "same as for snakemake; without it SNAKEMAKE_PROFILE, else the profile `local` [%(default)s]"
    parser.add_argument("--profile", type=Path, default=Path(default), help=words)
    words = "same as for snakemake: files laid over config.yaml, in this order, instead of the profile's"
    parser.add_argument("--configfile", "--configfiles", type=Path, nargs="+", default=[], metavar="FILE", help=words)
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="same as for snakemake")


def configuration(
    profile: SiteProfile, assignments: Sequence[str] = (), files: Sequence[Path] = (), root: Path = Path()
) -> Config:
    """Check config.yaml with files and assignments (KEY=VALUE) merged over it.

    As for Snakemake, `files` replace the profile's `configfile`.
    """
    layers = [Layer("config.yaml", read_mapping(root / "config.yaml", "call from the folder of the checkout"))]
    named, remedy = profile.known.configfile, f"correct `configfile` in {profile.path}"
    overlays: Sequence[str | Path] = [named] if isinstance(named, str) else named
    if files:
        overlays, remedy = files, "correct --configfile"
    layers += [Layer(str(each), read_mapping(root / each, remedy)) for each in overlays]
    refuse_padded_numbers(assignments)
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator:
            raise InputError(f"--config {assignment}: not KEY=VALUE", remedy="write for example sample_root=FOLDER")
        layers.append(Layer("--config", {key: parse_yaml(value, f"--config {key}")}))
    return check(reduce(merged, (layer.values for layer in layers)), layers)


def assignments_of(argv: Sequence[str]) -> list[str]:
    """Return the words KEY=VALUE behind `--config` or `-C` on a command line of Snakemake."""
    found: list[str] = []
    inside = False
    for word in argv:
        if word.startswith("-"):
            flag, _, value = word.partition("=")
            inside = word in ("--config", "-C")
            attached = value if flag == "--config" else word[2:] if word.startswith("-C") else ""
            found += [attached] if attached else []
        elif inside:
            found.append(word)
    return found


def refuse_padded_numbers(assignments: Sequence[str]) -> None:
    """Raise an InputError for KEY=010: Snakemake, which drops quotes, reads 10, config.yaml a text, and YAML 1.1 8."""
    for assignment in assignments:
        key, _, word = assignment.partition("=")
        value = word.strip("\"'")
        if not _PADDED.match(value):
            continue
        with suppress(ValueError):  # text such as a date, or 007-b
            number = int(value) if _WHOLE.fullmatch(value) else float(value)
            remedy = f'write {number}; a text of digits needs a file for --configfile, with {key}: "{value}"'
            raise InputError(f"--config {assignment}: would be read as the number {number}", remedy)


def snakemake_layers(workflow: Any) -> list[Layer]:
    """Return what Snakemake merged into its `config`: its own files, `--configfile`s, then `--config`."""
    above = workflow.config_settings
    files = [] if above.replace_workflow_config else [
        Path(each) for each in workflow.configfiles if Path(each).absolute() not in above.configfiles
    ]  # fmt: skip
    layers = [Layer(os.path.relpath(each), read_mapping(each, "correct it")) for each in [*files, *above.configfiles]]
    if not Path("config.yaml").exists():  # then keys that lack are not those of another file
        layers.insert(0, Layer("config.yaml (not in this folder)", {}))
    return [*layers, Layer("--config", above.config)]

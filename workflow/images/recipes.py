"""Inputs of each image: the folders docker/<image>/, their lock files, and one digest of all of them."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.common.digests import digest_of
from stages.common.errors import InputError
from stages.common.files.atomic_files import sha256_of
from workflow.images.lock import ROOT

TARGET = "dependencies"  # the checkout is bound at run time; `release` has the code inside
SHARED = ("docker/install.sh", "docker/caches.sh")


@dataclass(frozen=True)
class Options:
    """Options of a build."""

    base: str | None = None  # None: the one of the Dockerfile
    hashes: bool = True
    cuda: bool = True


def image_names(root: Path = ROOT) -> list[str]:
    """Return the folders of docker/ with a Dockerfile."""
    return sorted(path.parent.name for path in (root / "docker").glob("*/Dockerfile"))


def chosen(wanted: list[str] | None, root: Path = ROOT) -> list[str]:
    """Return the `wanted` images, or all. Raises InputError for an unknown name."""
    known = image_names(root)
    for name in wanted or []:
        if name not in known:
            raise InputError(f"--image {name}: no docker/{name}/Dockerfile", remedy=f"choose from {', '.join(known)}")
    return wanted or known


def dockerfile(name: str) -> str:
    """Return the path of an image's Dockerfile."""
    return f"docker/{name}/Dockerfile"


def requirements(name: str) -> str:
    """Return the path of an image's lock file."""
    return f"envs/{name}.lock"


def build_arguments(name: str, options: Options, root: Path = ROOT) -> dict[str, str]:
    """Return the values of the ARGs that the Dockerfile declares."""
    values = {"HASHES": "required" if options.hashes else "none", "CUDA": "yes" if options.cuda else "no"}
    values["BASE_IMAGE"] = base_of(name, options, root)
    return {key: value for key, value in values.items() if key in _declared(name, root)}


def base_of(name: str, options: Options, root: Path = ROOT) -> str:
    """Return the image that FROM names. Raises InputError where the Dockerfile declares none."""
    pinned = _declared(name, root).get("BASE_IMAGE")
    if not pinned:
        raise InputError(f"{dockerfile(name)}: no line `ARG BASE_IMAGE=...`", remedy="name the base image there")
    return options.base or pinned


def image_name(name: str, options: Options, root: Path = ROOT) -> str:
    """Return the name under which an image is stored: CPU and CUDA builds of one Dockerfile differ in it."""
    kind = ("-cuda" if options.cuda else "-cpu") if "CUDA" in _declared(name, root) else ""
    return f"mlip-{name}{kind}"


def input_files(name: str, root: Path = ROOT) -> dict[str, str]:
    """Return the sha256 of each file of which an image is built, by its path in the checkout."""
    return {file: sha256_of(root / file) for file in (dockerfile(name), requirements(name), *SHARED)}


def inputs_digest(files: Mapping[str, str], base_digest: str, arguments: Mapping[str, str]) -> str:
    """Return the sha256 of all inputs of an image; if it is equal, no build is needed."""
    return "sha256:" + digest_of({"files": files, "base": base_digest, "arguments": arguments})


def _declared(name: str, root: Path) -> dict[str, str]:
    """Return the ARGs of a Dockerfile with their defaults."""
    text = (root / dockerfile(name)).read_text(encoding="utf-8")
    return dict(re.findall(r"^ARG (\w+)=?(.*)$", text, re.MULTILINE))


def version(root: Path = ROOT) -> str:
    """Return the project's version."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

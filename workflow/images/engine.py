"""Build images through the API of Docker or Podman, and SIF files from them.

An image as one file for compute nodes. Its name holds the digest: a SIF is never replaced under a running job.

A container engine through Docker's API, which Podman speaks as well: build, push, save.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from stages.common.errors import InputError
from stages.common.files.atomic_files import atomic_path
from workflow.images.lock import ROOT
from workflow.images.recipes import TARGET, dockerfile

# gzip, which every kernel reads. Against its default level: a third of the time, 12 % more room (report image, 736 MB).
SQUASHFS = "-Xcompression-level 1"


def sif_path(folder: Path, name: str, digest: str) -> Path:
    return folder / f"mlip-{name}-{digest.removeprefix('sha256:')[:12]}.sif"


def check_apptainer() -> None:
    """Raise an InputError where there is no Apptainer."""
    if shutil.which("apptainer") is None:
        raise InputError("no apptainer on PATH: install it, load it (`module load apptainer`), or build with --no-sif")


def sif_from_archive(path: Path, save: Callable[[Path], None]) -> None:
    """Build `path` from the docker-archive that `save` writes to the file it is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as folder:
        archive = Path(folder) / "image.tar"
        save(archive)
        build_sif(path, f"docker-archive:{archive}")


def build_sif(path: Path, source: str) -> None:
    """Build `path`, whole or not at all, from a source that Apptainer knows (docker-archive:FILE, docker://NAME@DIGEST)."""
    with atomic_path(path) as temporary:
        command = ["apptainer", "build", "--disable-cache", "--mksquashfs-args", SQUASHFS, str(temporary), source]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout + done.stderr, file=sys.stderr)
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"{path}: apptainer build failed ({last})", remedy="see its output above")


_TIMEOUT = 3600  # seconds without a word from the engine; pip installing torch says nothing for minutes


class Engine:
    """Docker, or Podman's service, as DOCKER_HOST says."""

    def __init__(self) -> None:
        try:
            self._client = docker.from_env(timeout=_TIMEOUT)
            self._client.ping()
        except (DockerException, requests.RequestException, OSError):
            where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
            raise InputError(
                f"no container engine answers at {where}: start Docker, or run `podman system service --time=0 "
                "unix:///tmp/podman.sock &` and `export DOCKER_HOST=unix:///tmp/podman.sock`"
            ) from None

    def image(self, reference: str) -> Any | None:
        """Return the image of that name, if the engine holds it."""
        try:
            return self._client.images.get(reference)
        except ImageNotFound:
            return None

    def base_digest(self, reference: str) -> str:
        """Return the id of a base image that is named by a tag, as the engine holds it; pulled if it does not."""
        image = self.image(reference)
        try:
            image = image or self._client.images.pull(reference)
        except (APIError, DockerException) as error:
            raise InputError(
                f"base image {reference}: {_line(error)}", remedy="name another with --base-image"
            ) from None
        return image.id

    def build(self, name: str, tag: str, arguments: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """Build docker/<name>/Dockerfile; the engine's words go to standard error."""
        try:
            stream = self._client.api.build(
                path=str(ROOT), dockerfile=dockerfile(name), target=TARGET, tag=tag, rm=True, forcerm=True,
                buildargs={**arguments, **pip_settings()}, labels=dict(labels), decode=True,
            )  # fmt: skip
            self._follow(stream)
        except (APIError, DockerException, requests.RequestException) as error:
            raise InputError(f"image {name}: {_line(error)}", remedy="see the build's output above") from None
        if self.image(tag) is None:
            raise InputError(f"image {name}: the engine built no {tag}", remedy="see its output above")

    def push(self, tag: str, target: str) -> str:
        """Push under the name `target`, and return the digest that the repository gave it."""
        image = self.image(tag)
        repository, _, version = target.rpartition(":")
        image.tag(repository, version)
        try:
            digests = self._follow(self._client.api.push(repository, version, stream=True, decode=True))
        except (APIError, DockerException, requests.RequestException) as error:
            raise InputError(
                f"push {target}: {_line(error)}",
                remedy="check the address, and log in (`docker login`, `podman login`)",
            ) from None
        if not digests:
            raise InputError(
                f"push {target}: the engine reported no digest of the pushed image", remedy="try another engine"
            )
        return digests[-1]

    def save(self, tag: str, path: Path) -> None:
        """Save the image as an archive that `apptainer build` reads (docker-archive)."""
        with path.open("wb") as file:
            for chunk in self.image(tag).save(named=True):
                file.write(chunk)

    @staticmethod
    def _follow(stream: Iterable[Mapping[str, Any]]) -> list[str]:
        """Print what a build says; return the digests that a push names. Raises DockerException at the first error."""
        digests = []
        for message in stream:
            if "error" in message:
                raise DockerException(str(message["error"]))
            text = message.get("stream", "")
            if text.strip() and "\u2501" not in text:  # pip's progress bars are no news
                print(text.rstrip(), file=sys.stderr)
            # Not the image's RepoDigests: in Podman these are of the manifest before layers are compressed.
            digests += re.findall(r"digest: (sha256:[0-9a-f]{64}) size:", message.get("status", ""))
        return digests


def pip_settings() -> dict[str, str]:
    """Where pip finds packages, as the environment says: a matter of the site, which no file of this project names.

    Folders of this machine are not seen inside a build, so only addresses count. An address stays readable in the
    image's history: it should hold no password.
    """
    found = {"PIP_TRUSTED_HOST": os.environ.get("PIP_TRUSTED_HOST", "")}
    for key in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        found[key] = " ".join(word for word in os.environ.get(key, "").split() if word.startswith("http"))
    return {key: value for key, value in found.items() if value}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[-400:]

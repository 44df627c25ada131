"""Building of images through the API of Docker or Podman, and of SIF files from them.

An image is one file for compute nodes. Its name holds the digest, so a SIF is never replaced under a running job.
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

import requests
from docker.client import DockerClient
from docker.errors import APIError, DockerException, ImageNotFound

from stages.common.errors import InputError
from stages.common.files.atomic_files import atomic_path
from workflow.images.lock import ROOT
from workflow.images.recipes import TARGET, dockerfile

# gzip, which every kernel reads. Compared with its default level: a third of the time, 12 % more space (report image,
# 736 MB).
SQUASHFS = "-Xcompression-level 1"


def sif_path(folder: Path, name: str, digest: str) -> Path:
    """Return the path of an image's SIF, whose name holds the digest."""
    return folder / f"mlip-{name}-{digest.removeprefix('sha256:')[:12]}.sif"


def check_apptainer() -> None:
    """Raise an InputError where there is no Apptainer."""
    if shutil.which("apptainer") is None:
        raise InputError("no apptainer on PATH: install it, load it (`module load apptainer`), or build with --no-sif")


def sif_from_archive(path: Path, save: Callable[[Path], None]) -> None:
    """Build `path` from the docker-archive that `save` writes to the file passed to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as folder:
        archive = Path(folder) / "image.tar"
        save(archive)
        build_sif(path, f"docker-archive:{archive}")


def build_sif(path: Path, source: str) -> None:
    """Build `path` atomically from a source that Apptainer knows (docker-archive:FILE, docker://NAME@DIGEST).

    Raises InputError where the build fails.
    """
    with atomic_path(path) as temporary:
        command = ["apptainer", "build", "--disable-cache", "--mksquashfs-args", SQUASHFS, str(temporary), source]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout + done.stderr, file=sys.stderr)
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"{path}: apptainer build failed ({last})", remedy="see its output above")


_TIMEOUT = 3600  # seconds of silence from the engine; pip installing torch prints nothing for minutes


class Engine:
    """Docker, or Podman's service, as named by DOCKER_HOST."""

    def __init__(self) -> None:
        try:
            self._client = DockerClient.from_env(timeout=_TIMEOUT)
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

    def held(self, tag: str) -> Any:
        """Return an image that was built before; InputError where the engine no longer holds it."""
        image = self.image(tag)
        if image is None:
            raise InputError(f"image {tag}: the engine no longer holds it", remedy="run again, it is then built again")
        return image

    def base_digest(self, reference: str) -> str:
        """Return the id of a base image that is named by a tag; it is pulled if the engine does not hold it."""
        image = self.image(reference)
        try:
            image = image or self._client.images.pull(reference)
        except (APIError, DockerException) as error:
            raise InputError(
                f"base image {reference}: {_line(error)}", remedy="name another with --base-image"
            ) from None
        return image.id

    def build(self, name: str, tag: str, arguments: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """Build docker/<name>/Dockerfile; the engine's output goes to standard error."""
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
        repository, _, version = target.rpartition(":")
        self.held(tag).tag(repository, version)
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
            for chunk in self.held(tag).save(named=True):
                file.write(chunk)

    @staticmethod
    def _follow(stream: Iterable[Mapping[str, Any]]) -> list[str]:
        """Print the output of a build; return the digests that a push names.

        Raises DockerException at the first error.
        """
        digests = []
        for message in stream:
            if "error" in message:
                raise DockerException(str(message["error"]))
            text = message.get("stream", "")
            if text.strip() and "\u2501" not in text:  # without pip's progress bars
                print(text.rstrip(), file=sys.stderr)
            # Not the image's RepoDigests, which in Podman are of the manifest before layers are compressed.
            digests += re.findall(r"digest: (sha256:[0-9a-f]{64}) size:", message.get("status", ""))
        return digests


def pip_settings() -> dict[str, str]:
    """Return where pip finds packages, from the environment, since this is specific to the site.

    Folders of this machine are not visible inside a build, so only addresses count. An address stays readable in the
    image's history: it should hold no password.
    """
    found = {"PIP_TRUSTED_HOST": os.environ.get("PIP_TRUSTED_HOST", "")}
    for key in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        found[key] = " ".join(word for word in os.environ.get(key, "").split() if word.startswith("http"))
    return {key: value for key, value in found.items() if value}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[-400:]

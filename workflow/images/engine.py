"""Building of images through the API of Docker or Podman."""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import requests
from docker.client import DockerClient
from docker.errors import APIError, DockerException, ImageNotFound

from stages.common.errors import InputError
from workflow.images.lock import ROOT
from workflow.images.recipes import TARGET, dockerfile

_TIMEOUT = 3600  # seconds of silence from the engine; pip installing torch prints nothing for minutes


class Held(NamedTuple):
    """An image that a builder holds: the digest of its configuration, and bytes of the unpacked image."""

    id: str
    size: int


class Engine:
    """Docker, or Podman's service, as named by DOCKER_HOST."""

    name = "docker"

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

    def find(self, reference: str) -> Held | None:
        """Return the image of that name, if the engine holds it."""
        image = self._image(reference)
        return image and Held(image.id, image.attrs["Size"])

    def _image(self, reference: str) -> Any | None:
        try:
            return self._client.images.get(reference)
        except ImageNotFound:
            return None

    def _held(self, tag: str) -> Any:
        """Return an image that was built before; InputError where the engine no longer holds it."""
        image = self._image(tag)
        if image is None:
            raise InputError(f"image {tag}: the engine no longer holds it", remedy="run again, it is then built again")
        return image

    def base_digest(self, reference: str) -> str:
        """Return the id of a base image that is named by a tag; it is pulled if the engine does not hold it."""
        image = self._image(reference)
        try:
            image = image or self._client.images.pull(reference)
        except (APIError, DockerException) as error:
            raise InputError(
                f"base image {reference}: {_line(error)}", remedy="name another with --base-image"
            ) from None
        return image.id

    def build(self, name: str, tag: str, arguments: Mapping[str, str], labels: Mapping[str, str]) -> Held:
        """Build docker/<name>/Dockerfile; the engine's output goes to standard error."""
        try:
            stream = self._client.api.build(
                path=str(ROOT), dockerfile=dockerfile(name), target=TARGET, tag=tag, rm=True, forcerm=True,
                buildargs={**arguments, **pip_settings()}, labels=dict(labels), decode=True,
            )  # fmt: skip
            self._follow(stream)
        except (APIError, DockerException, requests.RequestException) as error:
            raise InputError(f"image {name}: {_line(error)}", remedy="see the build's output above") from None
        held = self.find(tag)
        if held is None:
            raise InputError(f"image {name}: the engine built no {tag}", remedy="see its output above")
        return held

    def push(self, tag: str, target: str) -> str:
        """Push under the name `target`, and return the digest that the repository gave it."""
        repository, _, version = target.rpartition(":")
        self._held(tag).tag(repository, version)
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
            for chunk in self._held(tag).save(named=True):
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

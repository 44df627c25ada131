"""Building of images by buildah, which needs no service and no root."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stages.common.errors import InputError
from workflow.images.engine import Held, pip_settings
from workflow.images.lock import ROOT
from workflow.images.recipes import TARGET, dockerfile


class Buildah:
    """The same as `engine.Engine`, by calls of the program; BUILDAH_* and CONTAINERS_* reach it."""

    name = "buildah"

    def __init__(self) -> None:
        if shutil.which("buildah") is None:
            raise InputError("no buildah on PATH", remedy="install the package buildah, or choose another --builder")

    def find(self, reference: str) -> Held | None:
        """Return the image of that name, if buildah holds it."""
        done = _buildah("inspect", "--type", "image", reference)
        if done.returncode:
            return None
        found = json.loads(done.stdout)
        layers = json.loads(found["Manifest"])["layers"]  # of the store, so not compressed
        return Held(f"sha256:{found['FromImageID']}", sum(layer["size"] for layer in layers))

    def base_digest(self, reference: str) -> str:
        """Return the id of a base image that is named by a tag; it is pulled if buildah does not hold it."""
        done = _buildah("pull", "--policy", "missing", reference)
        if done.returncode:
            raise InputError(f"base image {reference}: {_last(done)}", remedy="name another with --base-image")
        return f"sha256:{done.stdout.split()[-1]}"

    def build(self, name: str, tag: str, arguments: Mapping[str, str], labels: Mapping[str, str]) -> Held:
        """Build docker/<name>/Dockerfile; buildah's output goes to standard error."""
        options = [f"--build-arg={key}={value}" for key, value in {**arguments, **pip_settings()}.items()]
        options += [f"--label={key}={value}" for key, value in labels.items()]
        options += ["--target", TARGET, "--tag", tag, "--file", str(ROOT / dockerfile(name))]
        done = _buildah("build", *options, str(ROOT), show=True)
        held = self.find(tag)
        if done.returncode or held is None:
            raise InputError(f"image {name}: buildah build failed", remedy="see its output above")
        return held

    def push(self, tag: str, target: str) -> str:
        """Push under the name `target`, and return the digest that the repository gave it."""
        remedy = "check the address, and log in (`buildah login`)"
        return self._copied(tag, f"docker://{target}", f"push {target}", remedy)

    def save(self, tag: str, path: Path) -> None:
        """Save the image as an archive that `apptainer build` reads (docker-archive)."""
        self._copied(tag, f"docker-archive:{path}", f"image {tag}", "run again, it is then built again")

    def write_layout(self, tag: str, folder: Path, name: str) -> str:
        """Write the image into an OCI layout under `name`, beside what is there; return the manifest's digest."""
        return self._copied(tag, f"oci:{folder}:{name}", f"{folder}: {name}", "check the folder and its disk")

    @staticmethod
    def _copied(tag: str, destination: str, what: str, remedy: str) -> str:
        with tempfile.NamedTemporaryFile("r", prefix="mlip-digest-") as file:
            done = _buildah("push", "--digestfile", file.name, tag, destination)
            if done.returncode:
                raise InputError(f"{what}: {_last(done)}", remedy=remedy)
            return Path(file.name).read_text(encoding="utf-8").strip()


def _buildah(*words: str, show: bool = False) -> subprocess.CompletedProcess[str]:
    """Run buildah; with `show` all output goes to standard error, else it is captured."""
    command = ["buildah", *words]
    if show:
        return subprocess.run(command, stdout=2, text=True, check=False)
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _last(done: subprocess.CompletedProcess[str]) -> str:
    return next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")[-400:]

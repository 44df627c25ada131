"""What `make images` does: one image after the other is brought up to date with its inputs, with what is there."""

import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from stages.common.errors import InputError
from stages.common.files.atomic_files import sha256_of
from workflow.images.buildah import Buildah
from workflow.images.definition import archive_of, definition
from workflow.images.engine import Engine, pip_settings
from workflow.images.lock import ROOT, Image, sif_problem
from workflow.images.recipes import (
    Options,
    base_of,
    build_arguments,
    dockerfile,
    image_name,
    input_files,
    inputs_digest,
    requirements,
    version,
)
from workflow.images.sif import build_sif, sif_from_archive, sif_from_definition, sif_path

BUILDERS = ("auto", "docker", "buildah", "apptainer")


def options_of(arguments: Namespace) -> Options:
    """Return the options of a build that a command line gives."""
    return Options(base=arguments.base_image, hashes=not arguments.no_hashes, cuda=not arguments.cpu)


class Builder:
    """Builder that brings one image after the other up to date with its inputs."""

    def __init__(self, arguments: Namespace) -> None:
        self.arguments, self.options = arguments, options_of(arguments)

    @cached_property
    def engine(self) -> Engine | Buildah | None:
        """Return what builds images, chosen when there is something to build; None: Apptainer builds SIFs itself.

        Raises InputError where it is missing.
        """
        wanted, only_images = self.arguments.builder, bool(self.arguments.no_sif or self.arguments.push)
        if wanted == "apptainer" and only_images:
            raise InputError(
                "--builder apptainer: it builds SIFs, no images for --push or --no-sif", remedy="use buildah or docker"
            )
        found = self._found(wanted, only_images)
        print(f"builder: {found.name if found else 'apptainer'}", file=sys.stderr)
        return found

    @staticmethod
    def _found(wanted: str, only_images: bool) -> Engine | Buildah | None:
        if wanted in ("auto", "docker"):
            try:
                return Engine()
            except InputError as missing:
                if wanted == "docker":
                    raise
                if only_images:
                    try:
                        return Buildah()
                    except InputError:
                        raise InputError(missing.what, remedy="or install buildah") from None
        return Buildah() if wanted == "buildah" else None

    def up_to_date(self, name: str, previous: Image | None) -> Image:
        """Return the image of docker/<name>, built where its inputs changed, with its SIF."""
        base = base_of(name, self.options)
        base_digest = self._base_digest(base)
        inputs = inputs_digest(input_files(name), base_digest, build_arguments(name, self.options))
        image = previous
        if image is None or image.inputs != inputs or not self._holds(name, image):
            image = self._built(name, base, base_digest, inputs)
            say_what_is_replaced(name, previous, image)
        return image if self.arguments.no_sif else self._with_sif(name, image)

    def _base_digest(self, base: str) -> str:
        if "@sha256:" in base:
            return base.rpartition("@")[2]
        if archive := archive_of(base):
            return f"sha256:{sha256_of(archive)}"
        if self.engine is None:
            raise InputError(
                f"base image {base}: Apptainer cannot tell its digest",
                remedy="name it as NAME@sha256:DIGEST, or as a file: oci-archive:FILE",
            )
        return self.engine.base_digest(base)

    def _holds(self, name: str, image: Image) -> bool:
        """Return whether the lock's image suffices: pushed if requested, and with a SIF or a source of one."""
        pushed = image.digest_of == "repository"
        if self.arguments.push and not (pushed and image.name.startswith(f"{self.arguments.push}/")):
            return False
        return self.arguments.no_sif or pushed or sif_problem(name, image) is None

    def _built(self, name: str, base: str, base_digest: str, inputs: str) -> Image:
        tag = f"{image_name(name, self.options)}:{inputs.removeprefix('sha256:')[:12]}"
        labels = {"version": version(), "base.name": base, "base.digest": base_digest, **_commit()}
        labels = {f"org.opencontainers.image.{key}": value for key, value in labels.items()}
        image = Image(
            name=tag, version=version(), builder="apptainer", digest="", digest_of="sif", size=0, inputs=inputs,
            requirements=f"sha256:{sha256_of(ROOT / requirements(name))}", base=base, base_digest=base_digest,
        )  # fmt: skip
        if self.engine is None:
            path, digest = self._sif_by_apptainer(name, tag, labels)
            return replace(image, digest=digest, size=path.stat().st_size, sif=path, sif_sha256=digest)
        local = f"localhost/{tag}"
        held = self.engine.find(local)  # the tag holds the digest of the inputs
        if held is None:
            print(f"{name}: building {local} from {base}", file=sys.stderr)
            held = self.engine.build(name, local, build_arguments(name, self.options), labels)
        image = replace(image, name=local, builder=self.engine.name, digest=held.id, digest_of="image", size=held.size)
        if self.arguments.push:
            target = f"{self.arguments.push}/{tag}"
            image = replace(image, name=target, digest=self.engine.push(local, target), digest_of="repository")
        return image

    def _sif_by_apptainer(self, name: str, tag: str, labels: dict[str, str]) -> tuple[Path, str]:
        print(f"{name}: building {tag} by a definition file of {dockerfile(name)}", file=sys.stderr)
        arguments = build_arguments(name, self.options) | pip_settings()
        text = definition(ROOT / dockerfile(name), arguments, labels)
        return sif_from_definition(self.arguments.sif_folder.resolve(), tag.partition(":")[0], text)

    def _with_sif(self, name: str, image: Image) -> Image:
        if image.sif is not None and sif_problem(name, image) is None:
            return image
        repository = image.name.rpartition(":")[0]
        path = sif_path(self.arguments.sif_folder.resolve(), repository.rpartition("/")[2], image.digest)
        print(f"{name}: building {path}", file=sys.stderr)
        if image.digest_of == "repository":
            build_sif(path, f"docker://{repository}@{image.digest}")
        else:
            assert self.engine is not None  # an image without a SIF was just built by it
            engine = self.engine
            sif_from_archive(path, lambda archive: engine.save(image.name, archive))
        return replace(image, sif=path, sif_sha256=f"sha256:{sha256_of(path)}")


def say_what_is_replaced(name: str, previous: Image | None, image: Image) -> None:
    """Print a line where the CPU image takes the place of the CUDA image, or the reverse."""
    before, now = (each and each.name.rpartition("/")[2].partition(":")[0] for each in (previous, image))
    if before and before != now:
        print(f"{name}: {now} replaces {before} in docker/images.lock.yaml; the file of the latter stays",
              file=sys.stderr)  # fmt: skip


def _commit() -> dict[str, str]:
    """Return the commit from which an image is built, where git knows one."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return {}
    return {"revision": done.stdout.strip()} if done.returncode == 0 else {}

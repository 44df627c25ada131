"""Build images and SIFs of all stages, and docker/images.lock.yaml, which describes them.

build (default)  one image per folder of docker/, through Docker's or Podman's API, then a SIF of each by Apptainer.
                 What has the same Dockerfile, lock, base and options is not built again. If an image was pushed to
                 a repository (the lock says so), its SIF comes from there, and no container engine is needed.
verify           check that every SIF of the lock exists, and is the one that was built.
"""

import subprocess
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from stages.common.command_line import one_line_errors, program_name
from stages.common.files.atomic_files import sha256_of
from workflow.images.engine import Engine, build_sif, check_apptainer, sif_from_archive, sif_path
from workflow.images.lock import LOCK, ROOT, Image, read_images_lock, sif_problem, write_images_lock
from workflow.images.recipes import (
    Options,
    base_of,
    build_arguments,
    chosen,
    image_names,
    inputs_digest,
    requirements,
    version,
)
from workflow.images.running import image_problems, unusable


class Builder:
    """Builder that brings one image after the other up to date with its inputs."""

    def __init__(self, arguments: Namespace) -> None:
        self.arguments = arguments
        self.options = Options(base=arguments.base_image, hashes=not arguments.no_hashes, cuda=not arguments.cpu)

    @cached_property
    def engine(self) -> Engine:
        """Return the container engine, which is contacted only if there is something to build."""
        return Engine()

    def up_to_date(self, name: str, previous: Image | None) -> Image:
        """Return the image of docker/<name>, built where its inputs changed, with its SIF."""
        base = base_of(name, self.options)
        pinned = base.rpartition("@")[2] if "@sha256:" in base else None
        base_digest = pinned or self.engine.base_digest(base)
        inputs = inputs_digest(name, self.options, base_digest)
        image = previous
        if image is None or image.inputs != inputs or not self._holds(name, image):
            image = self._built(name, base, base_digest, inputs)
        return image if self.arguments.no_sif else self._with_sif(name, image)

    def _holds(self, name: str, image: Image) -> bool:
        """Return whether the lock's image suffices: pushed if requested, and with a SIF or a source of one."""
        pushed = image.digest_of == "repository"
        if self.arguments.push and not (pushed and image.name.startswith(f"{self.arguments.push}/")):
            return False
        return self.arguments.no_sif or pushed or sif_problem(name, image) is None

    def _built(self, name: str, base: str, base_digest: str, inputs: str) -> Image:
        tag = f"localhost/{_tag(name, inputs)}"
        if self.engine.image(tag) is None:  # the tag holds the digest of the inputs
            print(f"{name}: building {tag} from {base}", file=sys.stderr)
            labels = {"version": version(), "base.name": base, "base.digest": base_digest, **_commit()}
            labels = {f"org.opencontainers.image.{key}": value for key, value in labels.items()}
            self.engine.build(name, tag, build_arguments(name, self.options), labels)
        local = self.engine.held(tag)
        image = Image(
            name=tag, digest=local.id, digest_of="image", size=local.attrs["Size"], inputs=inputs,
            requirements=f"sha256:{sha256_of(ROOT / requirements(name))}", base=base, base_digest=base_digest,
        )  # fmt: skip
        if self.arguments.push:
            target = f"{self.arguments.push}/{_tag(name, inputs)}"
            image = replace(image, name=target, digest=self.engine.push(tag, target), digest_of="repository")
        return image

    def _with_sif(self, name: str, image: Image) -> Image:
        if image.sif is not None and sif_problem(name, image) is None:
            return image
        path = sif_path(self.arguments.sif_folder.resolve(), name, image.digest)
        print(f"{name}: building {path}", file=sys.stderr)
        if image.digest_of == "repository":
            repository = image.name.rpartition(":")[0]
            build_sif(path, f"docker://{repository}@{image.digest}")
        else:
            sif_from_archive(path, lambda archive: self.engine.save(image.name, archive))
        return replace(image, sif=path, sif_sha256=f"sha256:{sha256_of(path)}")


def build(arguments: Namespace) -> None:
    """Bring every chosen image up to date; the lock is written after each, so that nothing done is lost."""
    if not arguments.no_sif:
        check_apptainer()
    images = read_images_lock(LOCK) if LOCK.exists() else {}
    builder = Builder(arguments)
    for name in chosen(arguments.image):
        image = builder.up_to_date(name, images.get(name))
        if image == images.get(name):
            print(f"{name}: up to date, {image.digest}")
            continue
        images[name] = image
        write_images_lock(LOCK, {name: images[name] for name in image_names() if name in images})
        print(f"{name}: {image.digest} ({image.size / 1e6:.0f} MB){f', {image.sif}' if image.sif else ''}")


def verify(arguments: Namespace) -> None:
    """Print a line for each image that is as built. Raises InputErrors with a line for each of the others."""
    images, names = read_images_lock(LOCK), chosen(arguments.image)
    problems = image_problems(ROOT, images, names)
    for name in names:
        if name not in problems:
            print(f"{name}: {images[name].sif} is as built")
    if problems:
        raise unusable(problems)


def parser() -> ArgumentParser:
    """Return the parser of the command."""
    options = ArgumentParser(
        prog=program_name("python -m workflow.images"), description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    options.add_argument("command", nargs="?", choices=["build", "verify"], default="build")
    options.add_argument("--image", nargs="+", metavar="NAME", help="images to build; default: every folder of docker/")
    options.add_argument("--base-image", metavar="NAME", help="base image instead of the one pinned in the Dockerfiles")
    options.add_argument(
        "--no-hashes", action="store_true", help="install without hashes, for an index with other builds than PyPI's"
    )
    options.add_argument(
        "--cpu", action="store_true", help="leave out CUDA; pip's index must offer a CPU build of torch"
    )
    options.add_argument(
        "--push", metavar="REPOSITORY", help="push to REPOSITORY/mlip-<image> and record that address in the lock"
    )
    options.add_argument("--sif-folder", type=Path, default=ROOT / "containers", help="default: %(default)s")
    options.add_argument("--no-sif", action="store_true", help="build no SIF files")
    return options


def _tag(name: str, inputs: str) -> str:
    return f"mlip-{name}:{inputs.removeprefix('sha256:')[:12]}"


def _commit() -> dict[str, str]:
    """Return the commit from which an image is built, where git knows one."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return {}
    return {"revision": done.stdout.strip()} if done.returncode == 0 else {}


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    arguments = parser().parse_args(argv)
    with one_line_errors():
        {"build": build, "verify": verify}[arguments.command](arguments)


if __name__ == "__main__":
    main()

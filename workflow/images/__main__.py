"""Build images and SIFs of all stages, and docker/images.lock.yaml, which describes them.

build (default)  one SIF per folder of docker/. What has the same Dockerfile, lock, base and options is not built again.
                 With a container engine (Docker's or Podman's API) an image is built first; without one, Apptainer
                 builds from a definition file of the same Dockerfile. If an image was pushed to a repository (the lock
                 says so), its SIF comes from there.
verify           check that every SIF of the lock exists, and is the one that was built.
"""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from stages.common.command_line import one_line_errors, program_name
from workflow.images.building import BUILDERS, Builder
from workflow.images.lock import LOCK, ROOT, read_images_lock, write_images_lock
from workflow.images.recipes import chosen, image_names
from workflow.images.running import image_problems, unusable
from workflow.images.sif import check_apptainer


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
    options.add_argument(
        "--builder", choices=BUILDERS, default="auto",
        help="auto: Docker or Podman where their API answers, else Apptainer; buildah where an image is needed "
        "(--push, --no-sif)",
    )  # fmt: skip
    options.add_argument(
        "--base-image", metavar="NAME", help="base image instead of the one pinned in the Dockerfiles; "
        "oci-archive:FILE for a file (buildah, Apptainer)",
    )  # fmt: skip
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


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    arguments = parser().parse_args(argv)
    with one_line_errors():
        {"build": build, "verify": verify}[arguments.command](arguments)


if __name__ == "__main__":
    main()

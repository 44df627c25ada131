"""Build images and SIFs of all stages, and docker/images.lock.yaml, which describes them.

build (default)  one SIF per folder of docker/. What has the same Dockerfile, lock, base and options is not built again.
                 With a container engine (Docker's or Podman's API) an image is built first; without one, Apptainer
                 builds from a definition file of the same Dockerfile. If an image was pushed to a repository (the lock
                 says so), its SIF comes from there.
verify           check that every SIF of the lock exists, and is the one that was built.
pull SOURCE      make the SIFs from published images (docker://REPOSITORY, oci:FOLDER, oci-archive:FILE), after their
                 signed list and this checkout's pins were compared with them.
oci FOLDER       write images into an OCI layout, and their list images.json, for others to pull; needs buildah.
"""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from stages.common.command_line import one_line_errors, program_name
from stages.common.errors import InputError
from workflow.images.buildah import Buildah
from workflow.images.building import BUILDERS, Builder, options_of, say_what_is_replaced
from workflow.images.layout import check_layout
from workflow.images.lock import LOCK, ROOT, Image, read_images_lock, sif_problem, write_images_lock
from workflow.images.published import (
    LIST,
    entry_of,
    fitting,
    opened,
    pulled,
    read_list,
    trusted_list,
    write_list,
)
from workflow.images.recipes import chosen, image_name, image_names
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
        _record(images, name, image)


def _record(images: dict[str, Image], name: str, image: Image) -> None:
    images[name] = image
    write_images_lock(LOCK, {name: images[name] for name in image_names() if name in images})
    print(f"{name}: {image.digest} ({image.size / 1e6:.0f} MB){f', {image.sif}' if image.sif else ''}")


def pull(arguments: Namespace) -> None:
    """Make SIFs of published images; nothing is built where one of them does not fit this checkout."""
    check_apptainer()
    names, options = chosen(arguments.image), options_of(arguments)
    sif_folder = arguments.sif_folder.resolve()
    images = read_images_lock(LOCK) if LOCK.exists() else {}
    with opened(arguments.place, arguments.list, sif_folder) as (source, path):
        listed = trusted_list(path, arguments.key, arguments.sha256)
        for name, (stored, entry) in fitting(path, listed, names, options).items():
            before = images.get(name)
            if before and before.digest == entry.digest and sif_problem(name, before) is None:
                print(f"{name}: up to date, {entry.digest}")
                continue
            print(f"{name}: {stored} {entry.version} from {source}, {entry.download / 1e6:.0f} MB", file=sys.stderr)
            image = pulled(name, stored, entry, source, sif_folder)
            say_what_is_replaced(name, before, image)
            _record(images, name, image)


def oci(arguments: Namespace) -> None:
    """Write the chosen images into a layout; its list is written after each."""
    if arguments.builder not in ("auto", "buildah") or arguments.push:
        raise InputError("oci: only buildah writes a layout", remedy="leave out --builder and --push")
    arguments.builder, arguments.no_sif = "buildah", True
    folder, builder = Path(arguments.place), Builder(arguments)
    path = folder / LIST
    listed = read_list(path) if path.exists() else {}
    for name in chosen(arguments.image):
        image, stored = builder.up_to_date(name, None), image_name(name, builder.options)
        assert isinstance(builder.engine, Buildah)
        folder.mkdir(parents=True, exist_ok=True)
        digest = builder.engine.write_layout(image.name, folder, stored)
        listed[stored] = entry_of(name, builder.options, image, digest, check_layout(folder, stored, digest))
        digest_of_list = write_list(path, listed)
        print(f"{stored}: {digest} ({image.size / 1e6:.0f} MB, compressed {listed[stored].download / 1e6:.0f} MB)")
    print(f"{path}: sha256:{digest_of_list}; sign it: "
          f"openssl dgst -sha256 -sign KEY.pem -out {path}.sig {path}")  # fmt: skip


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
    options.add_argument("command", nargs="?", choices=list(COMMANDS), default="build")
    options.add_argument("place", nargs="?", metavar="SOURCE|FOLDER", help="of pull or oci")
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
    published = options.add_argument_group("pull")
    published.add_argument(
        "--list", type=Path, metavar="FILE", help=f"the list of the images; default: {LIST} beside them, in a layout"
    )
    published.add_argument(
        "--key", type=Path, metavar="FILE", help="public key of who signed the list; default: docker/images.pub"
    )
    published.add_argument("--sha256", metavar="HEX", help="trust the list by its sha256 instead of its signature")
    return options


COMMANDS = {"build": build, "verify": verify, "pull": pull, "oci": oci}


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    arguments = parser().parse_args(argv)
    with one_line_errors():
        if (arguments.place is None) == (arguments.command in ("pull", "oci")):
            given = "needs its SOURCE or FOLDER" if arguments.place is None else f"takes no {arguments.place}"
            raise InputError(f"{arguments.command} {given}", remedy="see --help")
        COMMANDS[arguments.command](arguments)


if __name__ == "__main__":
    main()

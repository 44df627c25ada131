"""What a workflow starts with: every image there, built from today's pins, unharmed."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from stages.common.errors import InputError, InputErrors
from stages.common.files.atomic_files import sha256_of, write_text
from workflow.images.lock import REMEDY, Image, read_images_lock, sif_problem
from workflow.images.recipes import image_names, requirements

SifProblem = Callable[[str, Image], str | None]


def images_to_run(checkout: Path, verify: bool = True) -> dict[str, Image]:
    """Return the images of docker/images.lock.yaml. Raises InputError, a line for each that cannot be run in.

    `verify` reads each SIF once and remembers its size and time beside it: a second look costs nothing.
    """
    images = read_images_lock(checkout / "docker" / "images.lock.yaml")
    names = dict.fromkeys([*image_names(checkout), *images])
    if problems := image_problems(checkout, images, names, remembered_sif_problem if verify else missing_sif):
        raise unusable(problems)
    return images


def image_problems(
    checkout: Path, images: Mapping[str, Image], names: Iterable[str], of_sif: SifProblem = sif_problem
) -> dict[str, str]:
    """Return what is wrong with each image of `names` that cannot be used: not in the lock, older pins, or its SIF."""
    problems = {}
    for name in names:
        image = images.get(name)
        if image is None:
            problems[name] = f"image {name}: not in docker/images.lock.yaml"
        elif image.requirements != f"sha256:{sha256_of(checkout / requirements(name))}":
            problems[name] = f"image {name}: {requirements(name)} has changed since the image was built"
        elif problem := of_sif(name, image):
            problems[name] = problem
    return problems


def unusable(problems: Mapping[str, str]) -> InputErrors:
    """Return the errors of images that cannot be run in; one remedy serves all."""
    return InputErrors(InputError(what, remedy=REMEDY) for what in problems.values())


def missing_sif(name: str, image: Image) -> str | None:
    """Return the problem of a SIF that is not there; its content is trusted, as a job on a node does."""
    present = image.sif is not None and image.sif.is_file()
    return None if present else sif_problem(name, image)


def remembered_sif_problem(name: str, image: Image) -> str | None:
    """`sif_problem`, without reading a file again that was found whole and has not changed since."""
    if image.sif is None or not image.sif.is_file():
        return sif_problem(name, image)
    status = image.sif.stat()
    stamp = image.sif.with_name(f"{image.sif.name}.verified")
    seen = f"{image.sif_sha256} {status.st_size} {status.st_mtime_ns}\n"
    if stamp.is_file() and stamp.read_text() == seen:
        return None
    problem = sif_problem(name, image)
    if problem is None:
        with suppress(OSError):  # a shared folder that others own: read again next time
            write_text(stamp, seen)
    return problem

"""Checks at the start of a workflow: every image exists, was built from today's pins, and is undamaged."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from stages.common.errors import InputError, InputErrors
from stages.common.files.atomic_files import sha256_of, write_text
from workflow.images.lock import REMEDY, Image, read_images_lock, sif_problem
from workflow.images.recipes import image_names, requirements

SifProblem = Callable[[str, Image], str | None]


def images_to_run(checkout: Path, verify: bool = True) -> dict[str, Image]:
    """Return the images of docker/images.lock.yaml. Raises InputErrors, a line for each unusable one.

    `verify` reads each SIF once and stores its size and time beside it, so a second check costs nothing.
    """
    images = read_images_lock(checkout / "docker" / "images.lock.yaml")
    names = dict.fromkeys([*image_names(checkout), *images])
    if problems := image_problems(checkout, images, names, remembered_sif_problem if verify else missing_sif):
        raise unusable(problems)
    return images


def image_problems(
    checkout: Path, images: Mapping[str, Image], names: Iterable[str], of_sif: SifProblem = sif_problem
) -> dict[str, str]:
    """Return the problem of each image of `names` that cannot be used: not in the lock, older pins, or its SIF."""
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
    """Return the errors of images that cannot be used; they share one remedy."""
    return InputErrors(InputError(what, remedy=REMEDY) for what in problems.values())


def missing_sif(name: str, image: Image) -> str | None:
    """Return the problem of a missing SIF; its content is trusted, as on a compute node."""
    present = image.sif is not None and image.sif.is_file()
    return None if present else sif_problem(name, image)


def remembered_sif_problem(name: str, image: Image) -> str | None:
    """Return `sif_problem`, without reading a file again that was found undamaged and has not changed since."""
    if image.sif is None or not image.sif.is_file():
        return sif_problem(name, image)
    status = image.sif.stat()
    stamp = image.sif.with_name(f"{image.sif.name}.verified")
    seen = f"{image.sif_sha256} {status.st_size} {status.st_mtime_ns}\n"
    if stamp.is_file() and stamp.read_text() == seen:
        return None
    problem = sif_problem(name, image)
    if problem is None:
        with suppress(OSError):  # a shared folder of others: it is read again next time
            write_text(stamp, seen)
    return problem

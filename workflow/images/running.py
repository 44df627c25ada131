"""The images that a workflow is about to run in: all there, built from today's pins, unharmed."""

from contextlib import suppress
from pathlib import Path

from stages.common.atomic_files import sha256_of, write_text
from stages.common.errors import InputError
from workflow.images.lock import REMEDY, Image, read_images_lock, sif_problem


def images_to_run(checkout: Path, verify: bool = True) -> dict[str, Image]:
    """The images of docker/images.lock.yaml. Raises InputError, a line for each that cannot be run in.

    `verify` reads each SIF once and remembers its size and time beside it: a second look costs nothing.
    """
    images = read_images_lock(checkout / "docker" / "images.lock.yaml")
    names = [folder.parent.name for folder in sorted((checkout / "docker").glob("*/Dockerfile"))]
    lines = [f"image {name}: not in docker/images.lock.yaml; {REMEDY}" for name in names if name not in images]
    for name, image in images.items():
        pins = checkout / "envs" / f"{name}.lock"
        if image.requirements != f"sha256:{sha256_of(pins)}":
            lines.append(f"image {name}: envs/{name}.lock has changed since the image was built; {REMEDY}")
        elif problem := _sif_problem(name, image, verify):
            lines.append(problem)
    if lines:
        raise InputError("\n".join(lines))
    return images


def _sif_problem(name: str, image: Image, verify: bool) -> str | None:
    if image.sif is None or not image.sif.is_file():
        return sif_problem(name, image)
    if not verify:
        return None
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

"""docker/images.lock.yaml, which names the image of each stage. The Snakefile reads it, `make images` writes it.

It has one entry per image. `digest` identifies its content, and `digest_of` says of what it is: the image's manifest in
a repository or an OCI layout, its configuration (which names every layer), or the SIF itself where Apptainer built it.
`sif` is the file that compute nodes run, with the digest in its name; a relative path starts at the checkout.
"""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import yaml

from stages.common.errors import InputError
from stages.common.files.atomic_files import sha256_of, write_text

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "docker" / "images.lock.yaml"
REMEDY = "run `make images`"

HEADER = "# Written by `make images`: the container images of the stages. Do not edit.\n"


@dataclass(frozen=True)
class Image:
    """One image. Digests are `sha256:<64 hex>`, sizes are bytes."""

    name: str  # reference in the builder, the repository or the layout: mlip-torch-cuda:..., mlip-torch-cpu:...
    version: str  # of MLIP, when it was built
    builder: str  # "docker" (or Podman), "buildah" or "apptainer"
    digest: str
    digest_of: str  # "repository", "layout", "image" or "sif"
    size: int  # of the unpacked image; of the SIF where Apptainer built it
    inputs: str  # digest of its inputs: Dockerfile, lock, base, options
    requirements: str  # digest of envs/<image>.lock
    base: str  # as named by FROM
    base_digest: str  # its digest at the time
    sif: Path | None = None  # absolute once read; None without SIFs
    sif_sha256: str | None = None


def read_images_lock(path: Path = LOCK) -> dict[str, Image]:
    """Read images by the name of their folder in docker/, with `sif` made absolute. Raises InputError."""
    path = Path(path)
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, so there are no container images", remedy=REMEDY) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(f"{path}: not valid YAML", remedy=f"delete it and {REMEDY}") from None
    if not isinstance(entries, dict) or not entries:
        raise InputError(f"{path}: lists no images", remedy=f"delete it and {REMEDY}")
    return {name: _image(path, name, entry) for name, entry in entries.items()}


def write_images_lock(path: Path, images: dict[str, Image]) -> None:
    """Write the lock atomically; SIFs inside the checkout by their relative path, so that it can move."""
    checkout = _checkout(path)
    entries = {}
    for name, image in sorted(images.items()):
        entry = asdict(image)
        if image.sif is not None:
            inside = image.sif.is_relative_to(checkout)
            entry["sif"] = str(image.sif.relative_to(checkout) if inside else image.sif)
        entries[name] = entry
    write_text(path, HEADER + yaml.safe_dump(entries, sort_keys=False, width=1000))


def sif_problem(name: str, image: Image) -> str | None:
    """Return what is wrong with an image's SIF (`REMEDY` applies to all), or None where it is the one of the lock."""
    if image.sif is None:
        return f"image {name}: no SIF was built (--no-sif)"
    if not image.sif.is_file():
        return f"image {name}: {image.sif} is missing"
    found = f"sha256:{sha256_of(image.sif)}"
    if found != image.sif_sha256:
        return f"image {name}: {image.sif} is damaged ({_short(found)}, built as {_short(image.sif_sha256)})"
    return None


def _image(path: Path, name: str, entry: object) -> Image:
    known = {field.name for field in fields(Image)}
    if not isinstance(entry, dict) or set(entry) != known:
        wrong = sorted(known ^ set(entry)) if isinstance(entry, dict) else []
        raise InputError(
            f"{path}: {name}: not an entry of this version ({', '.join(wrong)})", remedy=f"delete it and {REMEDY}"
        )
    image = Image(**entry)
    return image if image.sif is None else replace(image, sif=_checkout(path) / image.sif)


def _checkout(path: Path) -> Path:
    return Path(path).resolve().parents[1]


def _short(digest: str | None) -> str:
    return str(digest).removeprefix("sha256:")[:12]

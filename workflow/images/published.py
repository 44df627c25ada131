"""Published images: an OCI layout or a repository, and a signed list of what it holds, `images.json`.

The list is trusted by its signature (openssl, offline) or by its sha256, and all else by the digests in it. It also
names the inputs of each image, so that images of other pins are refused before anything is fetched.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from stages.common.errors import InputError, InputErrors
from stages.common.files.atomic_files import sha256_of, write_text
from workflow.images.layout import check_layout, single_image, unpacked
from workflow.images.lock import ROOT, Image
from workflow.images.recipes import (
    Options,
    base_of,
    build_arguments,
    image_name,
    input_files,
    inputs_digest,
    requirements,
)
from workflow.images.sif import build_sif, sif_path

LIST = "images.json"
KEY = ROOT / "docker" / "images.pub"


@dataclass(frozen=True)
class Published:
    """One image of a list, named mlip-torch-cuda or the like. Digests are `sha256:<64 hex>`, sizes are bytes."""

    version: str  # of MLIP
    digest: str  # of the manifest
    size: int  # unpacked
    download: int  # compressed
    inputs: str  # digest of the four below, as in the lock
    files: Mapping[str, str]  # sha256 of each file of the checkout of which it was built
    base: str
    base_digest: str
    arguments: Mapping[str, str]  # values of the Dockerfile's ARGs
    builder: str


def entry_of(name: str, options: Options, image: Image, digest: str, download: int) -> Published:
    """Return the entry of an image that was just built and written into a layout."""
    return Published(
        version=image.version, digest=digest, size=image.size, download=download, inputs=image.inputs,
        files=input_files(name), base=image.base, base_digest=image.base_digest,
        arguments=build_arguments(name, options), builder=image.builder,
    )  # fmt: skip


def write_list(path: Path, images: Mapping[str, Published]) -> str:
    """Write the list and remove the signature of an older one; return its sha256."""
    entries = {name: asdict(image) for name, image in sorted(images.items())}
    path.with_name(f"{path.name}.sig").unlink(missing_ok=True)
    write_text(path, json.dumps({"images": entries}, indent=2) + "\n")
    return sha256_of(path)


def read_list(path: Path, content: bytes | None = None) -> dict[str, Published]:
    """Read a list by the names of its images, from `content` where it was read before."""
    try:
        entries = json.loads(path.read_bytes() if content is None else content)["images"]
        images = {str(name): Published(**entry) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError(f"{path}: no list of images of this version", remedy="use the MLIP that wrote it") from None
    for name, image in images.items():
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", image.digest):
            raise InputError(f"{path}: {name}: digest {image.digest!r}", remedy="write sha256: and 64 hex digits")
    return images


def trusted_list(path: Path, key: Path | None, digest: str | None) -> dict[str, Published]:
    """Read a list that has the sha256 `digest`, or else is signed by `key` (default: docker/images.pub).

    Raises InputError where it is not.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", remedy="name the list of the images with --list") from None
    if digest:
        found = sha256(content).hexdigest()
        if found != digest.removeprefix("sha256:").lower():
            raise InputError(f"{path}: its sha256 is {found}, not that of --sha256", remedy="fetch the list again")
    else:
        _check_signature(path, content, key or KEY)
    return read_list(path, content)


def _check_signature(path: Path, content: bytes, key: Path) -> None:
    signature = path.with_name(f"{path.name}.sig")
    for file, what in ((key, "public key of who published the images"), (signature, f"signature of {path.name}")):
        if not file.is_file():
            remedy = "name the key with --key" if file == key else "fetch it beside the list"
            raise InputError(f"{file}: no such file: the {what}", remedy=f"{remedy}, or give the list's --sha256")
    command = ["openssl", "dgst", "-sha256", "-verify", str(key), "-signature", str(signature)]
    try:
        done = subprocess.run(command, input=content, capture_output=True, check=False)
    except FileNotFoundError:
        raise InputError("no openssl on PATH", remedy="install it, or give the list's --sha256") from None
    if done.returncode:
        raise InputError(
            f"{signature}: not a signature of {path} by {key}",
            remedy="fetch list and signature again; if that does not help, do not use these images",
        )


def fitting(
    path: Path, images: Mapping[str, Published], names: list[str], options: Options
) -> dict[str, tuple[str, Published]]:
    """Return name and entry of each wanted image. Raises InputErrors, a line for each that does not fit."""
    found, errors = {}, []
    for name in names:
        stored = image_name(name, options)
        try:
            if stored not in images:
                raise InputError(
                    f"{path}: no {stored}, only {', '.join(images)}", remedy="choose with --image, and --cpu or not"
                )
            _check_inputs(name, stored, images[stored], options)
            found[name] = stored, images[stored]
        except InputError as error:
            errors.append(error)
    if errors:
        raise InputErrors(errors)
    return found


def _check_inputs(name: str, stored: str, image: Published, options: Options) -> None:
    changed = [file for file, digest in input_files(name).items() if image.files.get(file) != digest]
    if changed:
        raise InputError(
            f"{stored}: built from another {', '.join(changed)} than this checkout's",
            remedy=f"check out MLIP {image.version}, or run `make images`",
        )
    if image.base != base_of(name, options):
        raise InputError(
            f"{stored}: built on {image.base}, not on the base of {base_of(name, options)}",
            remedy=f"accept it with --base-image {image.base}, or run `make images`",
        )
    if image.inputs != inputs_digest(image.files, image.base_digest, image.arguments):
        raise InputError(f"{stored}: `inputs` is not the digest of its files", remedy="ask who published the list")


@contextmanager
def opened(source: str, given: Path | None, scratch: Path) -> Iterator[tuple[str, Path]]:
    """Yield a source as Apptainer knows it (docker://REPOSITORY, oci:FOLDER), and the path of its list.

    An archive is unpacked into `scratch` meanwhile. Raises InputError for another kind of source.
    """
    kind, _, place = source.partition(":")
    if kind == "docker" and place.startswith("//"):
        if given is None:
            raise InputError(
                f"{source}: a repository needs --list", remedy=f"fetch {LIST} and {LIST}.sig of the release"
            )
        yield source.rstrip("/"), given
    elif kind == "oci" and place:
        folder = Path(place).absolute()
        yield f"oci:{folder}", given or folder / LIST
    elif kind == "oci-archive" and place:
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=scratch) as work:
            folder = unpacked(Path(place), Path(work))
            yield f"oci:{folder}", given or folder / LIST
    else:
        raise InputError(
            f"{source}: no source of images", remedy="write docker://REPOSITORY, oci:FOLDER or oci-archive:FILE"
        )


def pulled(name: str, stored: str, image: Published, source: str, sif_folder: Path) -> Image:
    """Build the SIF of a published image from `source`, whose digests are checked; return its entry of the lock."""
    path = sif_path(sif_folder, stored, image.digest)
    kind, _, place = source.partition(":")
    if kind == "docker":  # Apptainer checks what it fetches by digest
        build_sif(path, f"{source}/{stored}@{image.digest}")
        reference, digest_of = f"{place.removeprefix('//')}/{stored}:{image.version}", "repository"
    else:
        check_layout(Path(place), stored, image.digest)
        sif_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=sif_folder) as work:
            build_sif(path, single_image(Path(place), stored, Path(work) / "layout"))
        reference, digest_of = f"{stored}:{image.version}", "layout"
    return Image(
        name=reference, version=image.version, builder=image.builder, digest=image.digest, digest_of=digest_of,
        size=image.size, inputs=image.inputs, requirements=f"sha256:{image.files[requirements(name)]}",
        base=image.base, base_digest=image.base_digest, sif=path, sif_sha256=f"sha256:{sha256_of(path)}",
    )  # fmt: skip

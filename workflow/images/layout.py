"""OCI layouts: folders with images as blobs that are named by their sha256 (OCI image specification)."""

import gzip
import json
import lzma
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.common.errors import InputError
from stages.common.files.atomic_files import sha256_of

_REMEDY = "copy the layout again"
_MEMBER = re.compile(r"(?:\./)?(index\.json|oci-layout|images\.json(?:\.sig)?|blobs/sha256/[0-9a-f]{64})")
_NAME = "org.opencontainers.image.ref.name"


def unpacked(archive: Path, folder: Path) -> Path:
    """Unpack the files of a layout, and no others, from a tar archive into `folder`; return the folder."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and (found := _MEMBER.fullmatch(member.name)):
                    target = folder / found[1]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with tar.extractfile(member) as source, target.open("wb") as file:  # type: ignore[union-attr]
                        shutil.copyfileobj(source, file)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InputError(f"{archive}: no tar archive of an OCI layout ({error})", remedy=_REMEDY) from None
    return folder


def check_layout(folder: Path, name: str, digest: str) -> int:
    """Check that `name` is the image `digest`, and read each of its blobs; return their bytes.

    Raises InputError with the blob that is missing or damaged.
    """
    found = [each["digest"] for each in _named(folder, name)[1]]
    if found != [digest]:
        raise InputError(
            f"{folder}: {name} is {', '.join(found) or 'missing'}, but the list says {digest}", remedy=_REMEDY
        )
    size = 0
    for each in _blobs(folder, digest):
        path = folder / "blobs" / "sha256" / each.removeprefix("sha256:")
        if not path.is_file():
            raise InputError(f"{path}: no such file, a part of {name}", remedy=_REMEDY)
        if f"sha256:{sha256_of(path)}" != each:
            raise InputError(f"{path}: is damaged: its sha256 is another", remedy=_REMEDY)
        size += path.stat().st_size
    return size


def single_image(folder: Path, name: str, view: Path) -> str:
    """Return a source for Apptainer with that image alone: versions differ in how one of several is named.

    `view` is a new folder; the blobs in it are those of `folder`.
    """
    index, wanted = _named(folder, name)
    view.mkdir()
    shutil.copy(folder / "oci-layout", view)
    (view / "index.json").write_text(json.dumps(index | {"manifests": wanted}), encoding="utf-8")
    (view / "blobs").symlink_to(folder / "blobs")
    return f"oci:{view}"


def _named(folder: Path, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the index of a layout, and what it says of the images of that name."""
    path = folder / "index.json"
    index = _json(path)
    try:
        wanted = [each for each in index["manifests"] if (each.get("annotations") or {}).get(_NAME) == name]
        return index, [each | {"digest": str(each["digest"])} for each in wanted]
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: no index of an OCI layout", remedy=_REMEDY) from None


def _blobs(folder: Path, digest: str) -> Iterator[str]:
    """Yield the digests of an image: of the manifest, which is checked before it is read, and of what it names."""
    yield digest
    path = folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
    manifest = _json(path)
    try:
        parts = [str(each["digest"]) for each in (manifest["config"], *manifest["layers"])]
    except (KeyError, TypeError):
        raise InputError(f"{path}: no manifest of an image", remedy="publish the image itself, not a list") from None
    yield from parts


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file, so this is no OCI layout", remedy="name its folder") from None
    except ValueError:
        raise InputError(f"{path}: no JSON", remedy=_REMEDY) from None

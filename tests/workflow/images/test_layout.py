"""OCI layouts that are no layouts, or lack a part: one line that names the file."""

import json
import os
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from stages.common.errors import InputError
from workflow.images.layout import check_layout, unpacked

NAME = "org.opencontainers.image.ref.name"


def stored(folder: Path, content: bytes) -> str:
    digest = sha256(content).hexdigest()
    (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (folder / "blobs" / "sha256" / digest).write_bytes(content)
    return f"sha256:{digest}"


def layout(folder: Path, manifest: Any = None) -> str:
    """Write a layout with one image of two blobs, `report`; return the digest of its manifest."""
    blobs = [stored(folder, content) for content in (b"{}", os.urandom(5000))]
    whole = {"config": {"digest": blobs[0]}, "layers": [{"digest": blobs[1]}]}
    digest = stored(folder, json.dumps(whole if manifest is None else manifest).encode())
    named = {"digest": digest, "annotations": {NAME: "report"}}
    other = {"digest": digest, "annotations": None}
    (folder / "index.json").write_text(json.dumps({"manifests": [named, other]}))
    return digest


def test_a_whole_layout_is_counted(tmp_path: Path) -> None:
    digest = layout(tmp_path)
    assert check_layout(tmp_path, "report", digest) == sum(each.stat().st_size for each in tmp_path.rglob("sha256/*"))


@pytest.mark.parametrize(
    "index", [[], {}, 1, {"manifests": 1}, {"manifests": [1]}, {"manifests": [{"annotations": {NAME: "report"}}]}]
)
def test_an_index_of_another_shape_is_named(tmp_path: Path, index: Any) -> None:
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"index.json: no index of an OCI layout; copy"):
        check_layout(tmp_path, "report", "sha256:0")


@pytest.mark.parametrize("manifest", [[], {}, {"manifests": []}, {"config": {}, "layers": []}])
def test_a_list_of_images_in_place_of_one_is_named(tmp_path: Path, manifest: Any) -> None:
    digest = layout(tmp_path, manifest)
    with pytest.raises(InputError, match=f"{digest[7:]}: no manifest of an image; publish the image"):
        check_layout(tmp_path, "report", digest)


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    digest = layout(tmp_path)
    lost = next(path for path in tmp_path.rglob("sha256/*") if path.stat().st_size == 5000)
    lost.unlink()
    with pytest.raises(InputError, match=f"{lost.name}: no such file, a part of report; copy"):
        check_layout(tmp_path, "report", digest)


@pytest.mark.parametrize("kind", ["", "gz", "xz", "bz2"])
def test_an_archive_that_was_cut_or_damaged_is_named(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "layout"
    digest = layout(source)
    archive = tmp_path / "layout.tar"
    with tarfile.open(archive, f"w:{kind}") as tar:
        tar.add(source, arcname=".")
    assert check_layout(unpacked(archive, tmp_path / "whole"), "report", digest)
    content = bytearray(archive.read_bytes())
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"layout.tar: no tar archive of an OCI layout"):
        check_layout(unpacked(archive, tmp_path / "cut"), "report", digest)
    for place in range(len(content) // 3, len(content) // 3 + 400):
        content[place] ^= 0x55
    archive.write_bytes(content)
    with pytest.raises(InputError):  # of a tar without compression only the digests tell
        check_layout(unpacked(archive, tmp_path / "damaged"), "report", digest)

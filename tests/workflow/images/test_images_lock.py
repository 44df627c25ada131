"""docker/images.lock.yaml: what is written is read again, and what cannot be read is one line with a remedy."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from stages.common.errors import InputError
from workflow.images.lock import Image, read_images_lock, sif_problem, write_images_lock


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    (tmp_path / "docker").mkdir()
    return tmp_path / "docker" / "images.lock.yaml"


@pytest.fixture
def image(tmp_path: Path) -> Image:
    sif = tmp_path / "containers" / "mlip-torch-aaaaaaaaaaaa.sif"
    sif.parent.mkdir()
    sif.write_bytes(b"SIF")
    return Image(
        name="localhost/mlip-torch-cuda:1",
        version="0.2.0",
        builder="docker",
        digest=f"sha256:{'a' * 64}",
        digest_of="image",
        size=12,
        inputs=f"sha256:{'b' * 64}",
        requirements=f"sha256:{'c' * 64}",
        base="localhost/python:3.11",
        base_digest=f"sha256:{'d' * 64}",
        sif=sif,
        sif_sha256=f"sha256:{hashlib.sha256(b'SIF').hexdigest()}",
    )


def test_round_trip(lock: Path, image: Image) -> None:
    images = {"report": replace(image, sif=None, sif_sha256=None), "torch": image}
    write_images_lock(lock, images)
    assert read_images_lock(lock) == images


def test_sifs_of_the_checkout_move_with_it_and_others_do_not(lock: Path, image: Image, tmp_path: Path) -> None:
    elsewhere = Path("/shared/images/mlip-report-bbbbbbbbbbbb.sif")
    write_images_lock(lock, {"report": replace(image, sif=elsewhere), "torch": image})
    moved = tmp_path / "moved" / "docker" / "images.lock.yaml"
    moved.parent.mkdir(parents=True)
    lock.rename(moved)
    images = read_images_lock(moved)
    assert images["torch"].sif == tmp_path / "moved" / "containers" / image.sif.name
    assert images["report"].sif == elsewhere


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("torch: [", "not valid YAML"),
        ("", "lists no images"),
        ("- torch", "lists no images"),
        ("torch: text", "torch: not an entry of this version"),
        ("torch: {name: x}", "torch: not an entry of this version"),
    ],
)
def test_what_cannot_be_read_names_file_and_remedy(lock: Path, text: str | None, message: str) -> None:
    if text is not None:
        lock.write_text(text)
    with pytest.raises(InputError) as error:
        read_images_lock(lock)
    line = str(error.value)
    assert message in line
    assert str(lock) in line
    assert "make images" in line
    assert "\n" not in line


def test_a_sif_is_what_was_built_or_a_line_says_what_is_wrong(image: Image) -> None:
    assert sif_problem("torch", image) is None
    image.sif.write_bytes(b"SIf")
    assert "is damaged" in sif_problem("torch", image)
    image.sif.unlink()
    assert "is missing" in sif_problem("torch", image)
    assert "--no-sif" in sif_problem("torch", replace(image, sif=None))

"""A workflow starts only with images that are there, unharmed and built from today's pins."""

from hashlib import sha256
from pathlib import Path

import pytest

from stages.common.errors import InputError
from workflow.images.lock import Image, write_images_lock
from workflow.images.running import images_to_run


def digest(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("preprocess", "torch"):
        (tmp_path / "docker" / name).mkdir(parents=True)
        (tmp_path / "docker" / name / "Dockerfile").touch()
        (tmp_path / "envs").mkdir(exist_ok=True)
        (tmp_path / "envs" / f"{name}.lock").write_text(f"{name}==1\n")
        (tmp_path / "containers").mkdir(exist_ok=True)
        (tmp_path / "containers" / f"{name}.sif").write_bytes(name.encode())
    return tmp_path


def lock(checkout: Path, *names: str) -> None:
    images = {
        name: Image(
            name=f"mlip-{name}",
            version="0.2.0",
            builder="docker",
            digest=digest(b"image"),
            digest_of="image",
            size=1,
            inputs=digest(b"inputs"),
            requirements=digest(f"{name}==1\n".encode()),
            base="python",
            base_digest=digest(b"base"),
            sif=checkout / "containers" / f"{name}.sif",
            sif_sha256=digest(name.encode()),
        )
        for name in names
    }
    write_images_lock(checkout / "docker" / "images.lock.yaml", images)


def problem(checkout: Path) -> str:
    with pytest.raises(InputError) as raised:
        images_to_run(checkout)
    assert "`make images`" in str(raised.value)
    return str(raised.value)


def test_whole_images_are_returned_and_read_only_once(checkout: Path) -> None:
    lock(checkout, "preprocess", "torch")
    assert set(images_to_run(checkout)) == {"preprocess", "torch"}
    stamp = checkout / "containers" / "torch.sif.verified"
    before = stamp.stat().st_mtime_ns
    images_to_run(checkout)
    assert stamp.stat().st_mtime_ns == before


def test_a_damaged_image_is_named_also_after_it_was_once_whole(checkout: Path) -> None:
    lock(checkout, "preprocess", "torch")
    images_to_run(checkout)
    (checkout / "containers" / "torch.sif").write_bytes(b"tarch")
    assert "torch.sif is damaged" in problem(checkout)
    images_to_run(checkout, verify=False)  # a job on a node trusts what the workflow has verified


def test_a_missing_file_a_missing_entry_and_changed_pins_are_named(checkout: Path) -> None:
    lock(checkout, "preprocess")
    assert "image torch: not in docker/images.lock.yaml" in problem(checkout)
    lock(checkout, "preprocess", "torch")
    (checkout / "containers" / "torch.sif").unlink()
    (checkout / "envs" / "preprocess.lock").write_text("preprocess==2\n")
    first, second = problem(checkout).splitlines()
    assert "image preprocess: envs/preprocess.lock has changed" in first
    assert "torch.sif is missing" in second

"""What several tests of images start from."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker_api import FakeEngine, running
from image_checkout import APPTAINER, Checkout

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A copy of the checkout without a lock, with an engine and an Apptainer."""
    for part in ("stages/common", "workflow/images", "docker", "envs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "images.lock.yaml"))
    for part in ("stages/__init__.py", "workflow/__init__.py", "pyproject.toml", ".dockerignore"):
        shutil.copy(ROOT / part, tmp_path / part)
    (tmp_path / "programs").mkdir()
    with running(FakeEngine()) as engine:
        found = Checkout(tmp_path, engine)
        found.program("apptainer", APPTAINER)
        yield found

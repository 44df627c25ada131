"""`python -m workflow.images` in a copy of the checkout, against an engine that remembers what it was asked.

Real engines and a real Apptainer: tests/cluster.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from docker_api import MANIFEST, FakeEngine, running

from stages.common.errors import InputError
from workflow.images.engine import Engine
from workflow.images.lock import Image, read_images_lock

ROOT = Path(__file__).resolve().parents[3]
PINNED = "sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b"

# A SIF that names what it was made from: the archive's text, or the address.
APPTAINER = """#!/bin/bash
for source; do :; done
target=${@: -2:1}
[[ $source == docker-archive:* ]] && cat "${source#docker-archive:}" >"$target" || echo "$source" >"$target"
"""


@dataclass
class Checkout:
    folder: Path
    engine: FakeEngine
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, status: int = 0) -> str:
        """Standard output where it succeeds, standard error where it fails."""
        environment = {
            "PATH": f"{self.folder}/programs:/usr/bin:/bin",
            "DOCKER_HOST": self.engine.host,
            "HOME": str(self.folder),
            **self.environment,
        }
        command = [sys.executable, "-m", "workflow.images", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr if status else done.stdout

    def lock(self) -> dict[str, Image]:
        return read_images_lock(self.folder / "docker" / "images.lock.yaml")


@pytest.fixture
def checkout(tmp_path):
    for part in ("stages/common", "workflow/images", "docker", "envs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "images.lock.yaml"))
    for part in ("stages/__init__.py", "workflow/__init__.py", "pyproject.toml", ".dockerignore"):
        shutil.copy(ROOT / part, tmp_path / part)
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "apptainer").write_text(APPTAINER)
    (tmp_path / "programs" / "apptainer").chmod(0o755)
    with running(FakeEngine()) as engine:
        yield Checkout(tmp_path, engine)


def test_an_image_that_the_engine_lost_is_named(monkeypatch) -> None:
    with running(FakeEngine()) as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.host)
        assert Engine().held("localhost/base:1").id == engine.images["localhost/base:1"]
        with pytest.raises(InputError, match=r"image localhost/gone:1: the engine no longer holds it"):
            Engine().held("localhost/gone:1")


def test_every_image_is_built_and_locked_and_a_second_run_does_nothing(checkout: Checkout) -> None:
    checkout.run()
    images = checkout.lock()
    assert list(images) == ["preprocess", "report", "torch"] == sorted(images)
    for name, image in images.items():
        assert image.digest == checkout.engine.images[image.name]
        assert image.digest_of == "image"
        assert image.base_digest == PINNED
        assert image.requirements[7:] == hashlib.sha256((ROOT / "envs" / f"{name}.lock").read_bytes()).hexdigest()
        assert image.sif == checkout.folder / "containers" / f"mlip-{name}-{image.digest[7:19]}.sif"
        assert image.sif.read_text() == image.digest  # the archive that the engine gave
        assert image.sif_sha256[7:] == hashlib.sha256(image.sif.read_bytes()).hexdigest()
    assert sorted(path.suffix for path in (checkout.folder / "containers").iterdir()) == [".sif"] * 3

    before = (checkout.folder / "docker" / "images.lock.yaml").stat().st_mtime_ns
    checkout.environment["DOCKER_HOST"] = "tcp://127.0.0.1:1"  # no engine is needed to find that nothing is to be done
    assert checkout.run().count("up to date") == 3
    assert len(checkout.engine.builds) == 3
    assert (checkout.folder / "docker" / "images.lock.yaml").stat().st_mtime_ns == before
    assert checkout.run("verify").count("as built") == 3


def test_what_the_build_is_told(checkout: Checkout) -> None:
    checkout.environment |= {
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "PIP_FIND_LINKS": "/some/wheels http://127.0.0.1:1/wheels",
    }
    checkout.run("--image", "torch", "--base-image", "localhost/base:1", "--cpu", "--no-hashes", "--no-sif")
    (build,) = checkout.engine.builds
    assert (build["dockerfile"], build["target"]) == ("docker/torch/Dockerfile", "dependencies")
    assert json.loads(build["buildargs"]) == {
        "BASE_IMAGE": "localhost/base:1",
        "HASHES": "none",
        "CUDA": "no",
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "PIP_FIND_LINKS": "http://127.0.0.1:1/wheels",  # a folder of this machine is not seen inside
    }
    labels = json.loads(build["labels"])
    assert labels["org.opencontainers.image.base.name"] == "localhost/base:1"
    assert labels["org.opencontainers.image.base.digest"] == checkout.engine.images["localhost/base:1"]
    assert labels["org.opencontainers.image.version"]
    assert checkout.lock()["torch"].sif is None


@pytest.mark.parametrize(
    ("file", "rebuilt"),
    [
        ("envs/report.lock", ["report"]),
        ("docker/torch/Dockerfile", ["torch"]),
        ("docker/install.sh", ["preprocess", "report", "torch"]),
        ("stages/common/errors.py", []),
    ],
)
def test_only_images_whose_inputs_changed_are_built_again(checkout: Checkout, file: str, rebuilt: list[str]) -> None:
    checkout.run()
    before = checkout.lock()
    with (checkout.folder / file).open("a") as handle:
        handle.write("# changed\n")
    checkout.run()
    after = checkout.lock()
    assert [name for name in after if after[name].digest != before[name].digest] == rebuilt
    assert [name for name in after if after[name].sif != before[name].sif] == rebuilt
    assert all(image.sif.is_file() for image in before.values()), "running jobs keep their SIF"


def test_a_base_that_moved_is_an_input_too(checkout: Checkout) -> None:
    checkout.run("--image", "report", "--base-image", "localhost/base:1")
    checkout.engine.images["localhost/base:1"] = f"sha256:{'cd' * 32}"
    checkout.run("--image", "report", "--base-image", "localhost/base:1")
    assert len(checkout.engine.builds) == 2


@pytest.mark.parametrize("harm", [Path.unlink, lambda sif: sif.write_text("half")])
def test_a_lost_or_damaged_sif_is_named_and_made_again_from_the_same_image(checkout: Checkout, harm) -> None:
    checkout.run()
    before = checkout.lock()
    harm(before["torch"].sif)
    error = checkout.run("verify", status=2)
    assert error.count("\n") == 1
    assert all(part in error for part in ("image torch", str(before["torch"].sif), "make images"))
    checkout.run()
    assert checkout.lock() == before
    assert len(checkout.engine.builds) == 3


def test_an_environment_that_changed_since_is_named(checkout: Checkout) -> None:
    checkout.run("--image", "report")
    (checkout.folder / "envs" / "report.lock").write_text("")
    assert "image report: envs/report.lock has changed" in checkout.run("verify", "--image", "report", status=2)


def test_a_pushed_image_is_locked_by_its_repository_and_needs_no_engine_elsewhere(checkout: Checkout) -> None:
    checkout.run("--push", "registry.example/group")
    image = checkout.lock()["torch"]
    assert (image.digest, image.digest_of) == (MANIFEST, "repository")
    assert image.name in checkout.engine.pushed
    assert image.sif.read_text() == f"docker://registry.example/group/mlip-torch@{MANIFEST}\n"

    shutil.rmtree(checkout.folder / "containers")  # a colleague's clone: the lock alone
    checkout.environment["DOCKER_HOST"] = "tcp://127.0.0.1:1"
    checkout.run()
    assert checkout.lock()["torch"] == image


def test_what_is_done_stays_when_a_later_build_fails(checkout: Checkout) -> None:
    checkout.engine.fails = "torch"
    error = checkout.run(status=2)
    assert error.splitlines()[-1].startswith("error: image torch: pip: no such package")
    assert list(checkout.lock()) == ["preprocess", "report"]
    checkout.engine.fails = None
    checkout.run()
    assert sorted(checkout.lock()) == ["preprocess", "report", "torch"]
    assert len(checkout.engine.builds) == 4


def test_a_failed_sif_leaves_nothing_behind(checkout: Checkout) -> None:
    (checkout.folder / "programs" / "apptainer").write_text("#!/bin/sh\necho FATAL: no room >&2\nexit 255\n")
    error = checkout.run("--image", "report", status=2)
    assert "apptainer build failed (FATAL: no room)" in error
    assert not list((checkout.folder / "containers").iterdir())
    assert not (checkout.folder / "docker" / "images.lock.yaml").exists()


def test_refusals_name_the_remedy(checkout: Checkout) -> None:
    assert "docker/foo/Dockerfile; choose from preprocess" in checkout.run("--image", "foo", status=2)
    checkout.environment["DOCKER_HOST"] = "tcp://127.0.0.1:1"
    error = checkout.run("--image", "report", status=2)
    assert error.count("\n") == 1
    assert all(part in error for part in ("tcp://127.0.0.1:1", "start Docker", "podman system service", "DOCKER_HOST="))
    if not (Path("/usr/bin/apptainer").exists() or Path("/bin/apptainer").exists()):
        (checkout.folder / "programs" / "apptainer").unlink()
    else:
        checkout.environment["PATH"] = os.devnull
    assert "no apptainer on PATH" in checkout.run("--image", "report", status=2)
    assert "no container engine" in checkout.run("--image", "report", "--no-sif", status=2)

"""`python -m workflow.images` in a copy of the checkout, against an engine that remembers what it was asked.

Real engines and a real Apptainer: tests/cluster.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from docker_api import MANIFEST, FakeEngine, running
from image_checkout import BUILDAH, Checkout

from stages.common.errors import InputError
from workflow.images.engine import Engine
from workflow.images.recipes import version

ROOT = Path(__file__).resolve().parents[3]
PINNED = "sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b"
STORED = {"preprocess": "mlip-preprocess", "report": "mlip-report", "torch": "mlip-torch-cuda"}
NO_ENGINE = "tcp://127.0.0.1:1"


def test_an_image_that_the_engine_lost_is_named(monkeypatch) -> None:
    with running(FakeEngine()) as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.host)
        assert Engine().find("localhost/base:1").id == engine.images["localhost/base:1"]
        with pytest.raises(InputError, match=r"image localhost/gone:1: the engine no longer holds it"):
            Engine().push("localhost/gone:1", "registry.example/gone:1")


def test_every_image_is_built_and_locked_and_a_second_run_does_nothing(checkout: Checkout) -> None:
    checkout.run()
    images = checkout.lock()
    assert list(images) == ["preprocess", "report", "torch"] == sorted(images)
    for name, image in images.items():
        assert image.digest == checkout.engine.images[image.name]
        assert image.digest_of == "image"
        assert image.base_digest == PINNED
        assert image.requirements[7:] == hashlib.sha256((ROOT / "envs" / f"{name}.lock").read_bytes()).hexdigest()
        assert (image.builder, image.version) == ("docker", version())
        assert image.name.startswith(f"localhost/{STORED[name]}:")
        assert image.sif == checkout.folder / "containers" / f"{STORED[name]}-{image.digest[7:19]}.sif"
        assert image.sif.read_text() == image.digest  # the archive that the engine gave
        assert image.sif_sha256[7:] == hashlib.sha256(image.sif.read_bytes()).hexdigest()
    assert sorted(path.suffix for path in (checkout.folder / "containers").iterdir()) == [".sif"] * 3

    before = (checkout.folder / "docker" / "images.lock.yaml").stat().st_mtime_ns
    checkout.environment["DOCKER_HOST"] = NO_ENGINE  # no engine is needed to find that nothing is to be done
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
    assert image.sif.read_text() == f"docker://registry.example/group/mlip-torch-cuda@{MANIFEST}\n"

    shutil.rmtree(checkout.folder / "containers")  # a colleague's clone: the lock alone
    checkout.environment["DOCKER_HOST"] = NO_ENGINE
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


def test_without_an_engine_apptainer_builds_from_the_same_inputs(checkout: Checkout) -> None:
    checkout.run("--image", "report")
    by_engine = checkout.lock()["report"]
    (checkout.folder / "docker" / "images.lock.yaml").unlink()
    checkout.environment |= {"DOCKER_HOST": NO_ENGINE, "PIP_INDEX_URL": "https://mirror.example/simple"}
    checkout.run("--image", "report")
    image = checkout.lock()["report"]
    assert (image.builder, image.digest_of, image.name) == ("apptainer", "sif", by_engine.name.split("/")[1])
    assert (image.inputs, image.requirements, image.base_digest) == (by_engine.inputs, by_engine.requirements, PINNED)
    assert image.digest[7:] == image.sif_sha256[7:] == hashlib.sha256(image.sif.read_bytes()).hexdigest()
    assert image.sif == checkout.folder / "containers" / f"mlip-report-{image.digest[7:19]}.sif"
    text = image.sif.read_text()
    assert f"From: docker.io/library/python@{PINNED}\n" in text
    assert "envs/report.lock /opt/mlip/report.lock\n" in text
    assert "export PIP_INDEX_URL=https://mirror.example/simple\n" in text
    assert f"org.opencontainers.image.base.digest {PINNED}\n" in text
    assert "up to date" in checkout.run("--image", "report")
    assert checkout.run("verify", "--image", "report").count("as built") == 1

    image.sif.write_text("half")  # there is nothing else to make it from: it is built again
    checkout.run("--image", "report")
    assert checkout.lock()["report"] == image
    assert len(checkout.engine.builds) == 1


def test_a_base_in_a_file_needs_no_registry(checkout: Checkout, tmp_path: Path) -> None:
    checkout.environment["DOCKER_HOST"] = NO_ENGINE
    archive = tmp_path / "base.tar"
    archive.write_bytes(b"root")
    checkout.run("--image", "report", "--base-image", f"oci-archive:{archive}")
    image = checkout.lock()["report"]
    assert image.base_digest == f"sha256:{hashlib.sha256(b'root').hexdigest()}"
    assert image.sif.read_text().startswith(f"Bootstrap: oci-archive\nFrom: {archive}\n")
    error = checkout.run("--image", "report", "--base-image", "python:3.11", status=2)
    assert "base image python:3.11: Apptainer cannot tell its digest; name it as NAME@sha256:" in error


def test_a_node_that_forbids_builds_says_so_in_one_line(checkout: Checkout) -> None:
    checkout.environment["DOCKER_HOST"] = NO_ENGINE
    says = "FATAL:   Building from a definition file unprivileged requires either a suid installation or ..."
    (checkout.folder / "programs" / "apptainer").write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 255\n")
    line = checkout.run("--image", "report", status=2).splitlines()[-1]
    assert line.startswith(f"error: mlip-report.sif: apptainer build failed ({says})")
    assert "(pull)" in line
    assert not list((checkout.folder / "containers").iterdir())


def test_cpu_and_cuda_images_have_names_of_their_own_and_neither_replaces_the_other_silently(
    checkout: Checkout,
) -> None:
    checkout.run("--image", "torch")
    cuda = checkout.lock()["torch"]
    said = checkout.run("--image", "torch", "--cpu", "--no-hashes", error=True)
    cpu = checkout.lock()["torch"]
    assert "torch: mlip-torch-cpu replaces mlip-torch-cuda in docker/images.lock.yaml" in said
    assert cuda.name.startswith("localhost/mlip-torch-cuda:")
    assert cpu.name.startswith("localhost/mlip-torch-cpu:")
    assert cpu.sif.name.startswith("mlip-torch-cpu-")
    assert cuda.sif.is_file()
    assert "replaces" not in checkout.run("--image", "report", "--cpu", "--no-hashes", error=True)


def test_buildah_builds_where_it_is_asked_or_an_image_is_needed(checkout: Checkout) -> None:
    checkout.environment["DOCKER_HOST"] = NO_ENGINE
    checkout.program("buildah", BUILDAH)
    checkout.run("--image", "report", "--builder", "buildah")
    image = checkout.lock()["report"]
    assert (image.builder, image.digest_of, image.size) == ("buildah", "image", 77)
    words = image.sif.read_text()
    assert "--build-arg=HASHES=required" in words
    assert f"--target dependencies --tag {image.name} --file" in words
    checkout.run("--image", "report", "--push", "registry.example/group")
    image = checkout.lock()["report"]
    assert (image.builder, image.digest) == ("buildah", f"sha256:{5:064}")
    assert image.name.startswith("registry.example/group/mlip-report:")
    error = checkout.run("--image", "report", "--push", "refused.example/group", status=2)
    assert error.splitlines()[-1].startswith("error: push refused.example/group/mlip-report:")
    assert "Error: denied; check the address, and log in" in error


def test_refusals_name_the_remedy(checkout: Checkout) -> None:
    assert "docker/foo/Dockerfile; choose from preprocess" in checkout.run("--image", "foo", status=2)
    checkout.environment["DOCKER_HOST"] = NO_ENGINE
    error = checkout.run("--image", "report", "--builder", "docker", status=2)
    assert error.count("\n") == 1
    assert all(part in error for part in (NO_ENGINE, "start Docker", "podman system service", "DOCKER_HOST="))
    checkout.environment["PATH"] = os.devnull
    assert "no apptainer on PATH" in checkout.run("--image", "report", status=2)
    assert "no container engine" in checkout.run("--image", "report", "--no-sif", status=2)
    error = checkout.run("--image", "report", "--no-sif", "--builder", "apptainer", status=2)
    assert "--builder apptainer: it builds SIFs, no images" in error
    assert "no buildah on PATH" in checkout.run("--image", "report", "--no-sif", "--builder", "buildah", status=2)

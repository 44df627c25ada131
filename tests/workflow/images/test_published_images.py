"""`oci` writes a layout and its list; `pull` takes from it what is signed, whole and of this checkout's pins."""

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from image_checkout import BUILDAH, Checkout


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def keys(folder: Path, name: str) -> tuple[Path, Path]:
    """A private key and its public one."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    return private, public


def sign(listing: Path, private: Path) -> None:
    openssl("dgst", "-sha256", "-sign", private, "-out", f"{listing}.sig", listing)


@pytest.fixture
def published(checkout: Checkout) -> Checkout:
    """A checkout whose images lie in layout/, signed with the key of docker/images.pub."""
    checkout.program("buildah", BUILDAH)
    private, public = keys(checkout.folder, "publisher")
    shutil.copy(public, checkout.folder / "docker" / "images.pub")
    checkout.run("oci", "layout")
    checkout.run("oci", "layout", "--image", "torch", "--cpu", "--no-hashes")
    sign(checkout.folder / "layout" / "images.json", private)
    checkout.environment["DOCKER_HOST"] = "tcp://127.0.0.1:1"
    return checkout


def listing(checkout: Checkout) -> Path:
    return checkout.folder / "layout" / "images.json"


def test_the_list_holds_what_decides(published: Checkout) -> None:
    images = json.loads(listing(published).read_text())["images"]
    assert sorted(images) == ["mlip-preprocess", "mlip-report", "mlip-torch-cpu", "mlip-torch-cuda"]
    index = json.loads((published.folder / "layout" / "index.json").read_text())["manifests"]
    assert {each["digest"] for each in index} == {image["digest"] for image in images.values()}
    for name, image in images.items():
        lock = f"envs/{name.split('-')[1]}.lock"
        assert image["files"][lock] == hashlib.sha256((published.folder / lock).read_bytes()).hexdigest()
        assert (image["size"], image["builder"]) == (77, "buildah")
    assert images["mlip-torch-cpu"]["arguments"]["CUDA"] == "no"
    assert images["mlip-torch-cuda"]["arguments"]["CUDA"] == "yes"
    assert not (published.folder / "docker" / "images.lock.yaml").exists()
    said = published.run("oci", "layout", "--image", "report")
    assert f"sha256:{hashlib.sha256(listing(published).read_bytes()).hexdigest()}; sign it" in said
    assert not (published.folder / "layout" / "images.json.sig").exists(), "of another list"


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_pulled_images_are_locked_and_not_built_again(published: Checkout, kind: str) -> None:
    source = "layout"
    if kind == "oci-archive":
        source = "published.tar"
        with tarfile.open(published.folder / source, "w") as tar:
            tar.add(published.folder / "layout", ".")
            tar.add(published.folder / "pyproject.toml", "../outside")
        shutil.rmtree(published.folder / "layout")
    published.run("pull", f"{kind}:{source}")
    images = published.lock()
    assert list(images) == ["preprocess", "report", "torch"]
    for image in images.values():
        stored = image.name.partition(":")[0]
        assert (image.digest_of, image.builder) == ("layout", "buildah")
        assert image.sif.name == f"{stored}-{image.digest[7:19]}.sif"
        held, _ = json.JSONDecoder().raw_decode(image.sif.read_text())  # the index comes first
        assert [each["digest"] for each in held["manifests"]] == [image.digest], "Apptainer sees one image"
    assert images["torch"].name.startswith("mlip-torch-cuda:")
    assert sorted(path.suffix for path in (published.folder / "containers").iterdir()) == [".sif"] * 3
    assert not (published.folder / "outside").exists()
    assert published.run("pull", f"{kind}:{source}").count("up to date") == 3
    assert published.run().count("up to date") == 3, "the inputs are those of this checkout"
    assert published.run("verify").count("as built") == 3


def test_the_cpu_image_is_pulled_by_name_and_takes_its_place_aloud(published: Checkout) -> None:
    published.run("pull", "oci:layout", "--image", "torch")
    said = published.run("pull", "oci:layout", "--image", "torch", "--cpu", error=True)
    assert "mlip-torch-cpu replaces mlip-torch-cuda" in said
    assert published.lock()["torch"].name.startswith("mlip-torch-cpu:")
    assert "up to date" in published.run("--image", "torch", "--cpu", "--no-hashes")


def test_from_a_repository_the_digest_of_the_list_is_fetched(published: Checkout) -> None:
    address = "docker://registry.example/group"
    assert "a repository needs --list; fetch images.json" in published.run("pull", address, status=2)
    published.run("pull", address, "--list", "layout/images.json", "--image", "report")
    image = published.lock()["report"]
    assert image.sif.read_text() == f"{address}/mlip-report@{image.digest}\n"
    assert (image.name.partition(":")[0], image.digest_of) == ("registry.example/group/mlip-report", "repository")
    image.sif.unlink()  # a colleague's clone: the lock alone
    published.run("--image", "report")
    assert published.lock()["report"] == image


def test_a_list_is_trusted_by_its_signature_or_its_sha256(published: Checkout) -> None:
    path = listing(published)
    private, public = keys(published.folder, "other")
    error = published.run("pull", "oci:layout", "--key", str(public), status=2)
    assert f"images.json.sig: not a signature of {path} by {public}; fetch list and signature again" in error
    path.write_text(path.read_text().replace("mlip-report", "mlip-reporx"))
    assert "not a signature" in published.run("pull", "oci:layout", status=2)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert "mlip-preprocess" in published.run(
        "pull", "oci:layout", "--image", "preprocess", "--sha256", digest, error=True
    )
    error = published.run("pull", "oci:layout", "--sha256", "0" * 64, status=2)
    assert f"its sha256 is {digest}, not that of --sha256" in error
    sign(path, private)
    published.run("pull", "oci:layout", "--image", "preprocess", "--key", str(public))
    (published.folder / "layout" / "images.json.sig").unlink()
    assert "images.json.sig: no such file: the signature of images.json" in published.run(
        "pull", "oci:layout", status=2
    )
    (published.folder / "docker" / "images.pub").unlink()
    error = published.run("pull", "oci:layout", status=2)
    assert error.count("\n") == 1
    assert all(part in error for part in ("docker/images.pub: no such file: the public key", "--key", "--sha256"))


def test_images_of_other_pins_are_refused_with_the_file_that_differs(published: Checkout) -> None:
    with (published.folder / "envs" / "torch.lock").open("a") as file:
        file.write("# changed\n")
    with (published.folder / "docker" / "report" / "Dockerfile").open("a") as file:
        file.write("# changed\n")
    first, second = published.run("pull", "oci:layout", status=2).splitlines()
    assert "mlip-report: built from another docker/report/Dockerfile than this checkout's" in first
    assert "mlip-torch-cuda: built from another envs/torch.lock than this checkout's; check out MLIP " in second
    assert "make images" in second
    assert not (published.folder / "docker" / "images.lock.yaml").exists(), "nothing is pulled by halves"
    published.run("pull", "oci:layout", "--image", "preprocess")


def test_another_base_is_accepted_only_by_name(published: Checkout) -> None:
    published.program(
        "buildah",
        BUILDAH.replace(
            'elif command == "inspect"', 'elif command == "pull":\n    print("ab" * 32)\nelif command == "inspect"'
        ),
    )
    published.run("oci", "layout", "--image", "report", "--base-image", "localhost/base:1")
    digest = hashlib.sha256(listing(published).read_bytes()).hexdigest()
    pull = ("pull", "oci:layout", "--image", "report", "--sha256", digest)
    error = published.run(*pull, status=2)
    assert "mlip-report: built on localhost/base:1, not on the base of docker.io/library/python" in error
    published.run(*pull, "--base-image", "localhost/base:1")
    assert published.lock()["report"].base_digest == f"sha256:{'ab' * 32}"


def test_damaged_and_exchanged_blobs_are_named(published: Checkout) -> None:
    images = json.loads(listing(published).read_text())["images"]
    blobs = published.folder / "layout" / "blobs" / "sha256"
    manifest = blobs / images["mlip-report"]["digest"][7:]
    layer = blobs / json.loads(manifest.read_text())["layers"][0]["digest"][7:]
    layer.write_bytes(layer.read_bytes() + b" ")
    assert f"{layer}: is damaged" in published.run("pull", "oci:layout", "--image", "report", status=2)
    index = published.folder / "layout" / "index.json"
    index.write_text(index.read_text().replace(images["mlip-report"]["digest"], images["mlip-preprocess"]["digest"]))
    error = published.run("pull", "oci:layout", "--image", "report", status=2)
    assert f"mlip-report is {images['mlip-preprocess']['digest']}, but the list says" in error
    index.unlink()
    assert "index.json: no such file, so this is no OCI layout" in published.run(
        "pull", "oci:layout", "--image", "report", status=2
    )
    assert not list((published.folder / "containers").glob("*"))


def test_refusals_of_the_command_line(checkout: Checkout) -> None:
    assert "pull needs its SOURCE or FOLDER" in checkout.run("pull", status=2)
    assert "build takes no layout" in checkout.run("build", "layout", status=2)
    assert "layout: no source of images; write docker://" in checkout.run("pull", "layout", status=2)
    assert "layout/images.json: no such file" in checkout.run("pull", "oci:layout", status=2)
    assert "only buildah writes a layout" in checkout.run("oci", "layout", "--builder", "docker", status=2)
    (checkout.folder / "x.tar").write_bytes(b"no tar")
    assert "x.tar: no tar archive" in checkout.run("pull", "oci-archive:x.tar", status=2)
    (checkout.folder / "list.json").write_text('{"images": {"mlip-report": {"digest": 1}}}')
    digest = hashlib.sha256((checkout.folder / "list.json").read_bytes()).hexdigest()
    error = checkout.run("pull", "docker://x/y", "--list", "list.json", "--sha256", digest, status=2)
    assert "list.json: no list of images of this version" in error

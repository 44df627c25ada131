"""On a login node with Apptainer alone, and no rights: a SIF from a Dockerfile, and one from a published layout.

The Dockerfile is that of `report`, with two packages instead of all, so that this costs a minute.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workflow.images.lock import Image, read_images_lock

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
IMPORTS = "import jinja2, markupsafe"
# An ordinary user, as far as kernel and Apptainer can tell, who can yet read the environment of the tests.
ORDINARY_USER = ("unshare", "--user", "--map-user=1", "--map-group=1")


def images(checkout: Path, *arguments: str | Path, user: tuple[str, ...] = (), **environment: str) -> str:
    command = [*user, sys.executable, "-m", "workflow.images", *arguments]
    environment = os.environ | {"DOCKER_HOST": "unix:///nowhere", "HOME": str(checkout)} | environment
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def locked(checkout: Path) -> Image:
    return read_images_lock(checkout / "docker" / "images.lock.yaml")["report"]


def python_in(image: Image, code: str) -> str:
    """Output of Python, as a job of Snakemake starts it."""
    command = ["apptainer", "--silent", "exec", "--cleanenv", image.sif, "bash", "-c", f"python -c '{code}'"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.fixture
def login_node(tmp_path: Path) -> Path:
    """A checkout whose image `report` holds jinja2 and markupsafe."""
    for part in ("stages", "workflow", "docker"):
        ignored = shutil.ignore_patterns("__pycache__", "images.lock.yaml")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    for part in ("pyproject.toml", ".dockerignore"):
        shutil.copy(ROOT / part, tmp_path / part)
    pins = (ROOT / "envs" / "report.lock").read_text()
    few = [re.search(rf"^{name}==.*?[^\\]\n", pins, re.MULTILINE | re.DOTALL)[0] for name in ("jinja2", "markupsafe")]
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "report.lock").write_text("".join(few))
    dockerfile = tmp_path / "docker" / "report" / "Dockerfile"
    text, changed = re.subn(r'python -c "import [^"]*"', f'python -c "{IMPORTS}"', dockerfile.read_text())
    assert changed == 1
    dockerfile.write_text(text)
    return tmp_path


def test_apptainer_alone_builds_and_pulls(login_node: Path, base_image: str, tmp_path: Path) -> None:
    archive, layout = tmp_path / "base.tar", tmp_path / "layout"
    subprocess.run(["buildah", "push", "--quiet", base_image, f"oci-archive:{archive}"], check=True, timeout=300)

    said = images(login_node, "--image", "report", "--base-image", f"oci-archive:{archive}", user=ORDINARY_USER)
    built = locked(login_node)
    assert "builder: apptainer" in said
    assert (built.builder, built.digest_of) == ("apptainer", "sif")
    assert python_in(built, f"{IMPORTS}, sys; print(sys.prefix)") == "/opt/venv\n"
    assert "up to date" in images(login_node, "--image", "report", "--base-image", f"oci-archive:{archive}")

    images(login_node, "oci", layout, "--image", "report", "--base-image", base_image, BUILDAH_ISOLATION="chroot")
    key, public, listing = tmp_path / "key.pem", login_node / "docker" / "images.pub", layout / "images.json"
    subprocess.run(["openssl", "genrsa", "-out", key], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    subprocess.run(["openssl", "dgst", "-sha256", "-sign", key, "-out", f"{listing}.sig", listing], check=True)
    source = (f"oci:{layout}", "--image", "report", "--base-image", base_image)
    images(login_node, "pull", *source, user=ORDINARY_USER)
    pulled = locked(login_node)
    assert (pulled.builder, pulled.digest_of) == ("buildah", "layout")
    assert pulled.digest == json.loads(listing.read_text())["images"]["mlip-report"]["digest"]
    assert pulled.sif != built.sif
    assert built.sif.is_file()
    same = "import importlib.metadata as m; print(sorted((d.name, d.version) for d in m.distributions()))"
    assert python_in(pulled, same) == python_in(built, same)
    assert "as built" in images(login_node, "verify", "--image", "report")

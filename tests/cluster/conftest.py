"""A cluster on this machine: SLURM with two nodes and accounting, images from the real Dockerfiles, a checkout.

As root on Debian this is real or it fails; elsewhere it is skipped, loudly.
"""

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from fault_runs import ONLY_PREPARATION, UP_TO_PREPARATION, Run
from two_node_slurm import TwoNodeSlurm
from user_checkout import Checkout, set_account

from stages.common.errors import InputError
from workflow.images.lock import read_images_lock

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "cluster"
PARTS = ("stages", "workflow", "envs", "docker", "tests/cluster", "config.yaml", "pyproject.toml", ".dockerignore")
CACHE = Path(os.environ.get("MLIP_CLUSTER_CACHE", "/var/cache/mlip-cluster"))  # the base image, layers and SIFs
STORAGE = """[storage]
driver = "overlay"
graphroot = "{cache}/storage"
runroot = "{cache}/run"
"""


@pytest.fixture(scope="session")
def installed() -> None:
    """SLURM, Podman, buildah and Apptainer; nothing of it runs."""
    if os.geteuid() != 0:
        pytest.skip("CLUSTER TESTS NOT RUN: they install SLURM and Apptainer, which takes root on Debian 12")
    assert platform.machine() == "x86_64", "the cluster tests fetch Apptainer for x86_64"
    subprocess.run([HERE / "install.sh"], check=True, timeout=900)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory, installed: None) -> Iterator[TwoNodeSlurm]:  # noqa: ARG001
    with TwoNodeSlurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def base_image(tmp_path_factory: pytest.TempPathFactory, installed: None) -> str:  # noqa: ARG001
    """The name of the base image, in a store of images that is nobody else's."""
    configuration = tmp_path_factory.mktemp("podman") / "storage.conf"
    configuration.write_text(STORAGE.format(cache=CACHE))
    os.environ["CONTAINERS_STORAGE_CONF"] = str(configuration)
    subprocess.run([ROOT / "docker" / "offline" / "base_image.sh", CACHE / "base"], check=True, timeout=900)
    return "localhost/python:3.11-slim"


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory, base_image: str) -> Iterator[str]:  # noqa: ARG001
    """Podman's service, which speaks Docker's API: its address for DOCKER_HOST."""
    socket = tmp_path_factory.mktemp("podman") / "api.sock"
    environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}  # no namespaces to be had inside a container
    service = subprocess.Popen(
        ["podman", "--runtime", "/usr/sbin/runc", "system", "service", "--time=0", f"unix://{socket}"],
        env=environment,
    )
    deadline = time.monotonic() + 30
    while not socket.exists():
        assert service.poll() is None, "podman system service ended"
        assert time.monotonic() < deadline, "podman system service does not start"
        time.sleep(0.2)
    yield f"unix://{socket}"
    service.terminate()
    service.wait(30)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory, slurm: TwoNodeSlurm, podman: str, base_image: str) -> Checkout:
    """A copy of the repository after `make images`. MLIP_CLUSTER_CHECKOUT names a folder where it, and what was run in
    it, is kept for the next session: as after `git pull`, only what a change invalidates runs again."""
    kept = os.environ.get("MLIP_CLUSTER_CHECKOUT")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        source = ROOT / part
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.rmtree(folder / part, ignore_errors=True)
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "images.lock.yaml"))
        else:
            shutil.copy(source, folder / part)
    if not (folder / "slurm").is_symlink():
        (folder / "slurm").symlink_to("workflow/profiles/slurm")
    lock, known = folder / "docker" / "images.lock.yaml", CACHE / "images.lock.yaml"
    with suppress(InputError):  # none, or one of another version
        read_images_lock(known)
        shutil.copy(known, lock)  # what an earlier test built from the same files is not built again
    images = [sys.executable, "-m", "workflow.images", "--base-image", base_image]
    images += ["--sif-folder", str(CACHE / "containers")]
    with wheels_of_this_machine() as address:
        environment = os.environ | {"DOCKER_HOST": podman, "PIP_FIND_LINKS": address}
        builds = [["preprocess", "report"], ["torch", *(["--cpu", "--no-hashes"] if address else [])]]
        for build in builds:
            subprocess.run([*images, "--image", *build], cwd=folder, env=environment, check=True, timeout=1800)
    shutil.copy(lock, known)
    return Checkout(folder, slurm)


@pytest.fixture(scope="session")
def user(checkout: Checkout) -> Checkout:
    """The checkout after the account of the profile was set."""
    set_account(checkout.folder)
    return checkout


@pytest.fixture(scope="session")
def undisturbed(user: Checkout) -> Run:
    """A run to which nothing was done."""
    run = Run(user, "undisturbed", keep=True)
    run.go(*(UP_TO_PREPARATION if ONLY_PREPARATION else ()))
    return run


@contextmanager
def wheels_of_this_machine() -> Iterator[str]:
    """Address of a folder with a wheel of torch for CPUs, if pip is told of one: a build cannot see the folder."""
    folders = [Path(word) for word in os.environ.get("PIP_FIND_LINKS", "").split() if Path(word).is_dir()]
    folder = next((each for each in folders if list(each.glob("torch-*.whl"))), None)
    if folder is None:
        yield ""
        return
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()

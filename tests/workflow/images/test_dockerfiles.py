"""docker/: linted, pinned by digest, without root and entry points; what install.sh and caches.sh do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILES = sorted(ROOT.glob("docker/*/Dockerfile"))
LOCK = """a==1 \\
    --hash=sha256:01 \\
    --hash=sha256:02
cuda-toolkit==13 ; sys_platform == 'linux' \\
    --hash=sha256:03
nvidia-nccl==2 ; sys_platform == 'linux' \\
    --hash=sha256:04 \\
    --hash=sha256:05
torch==3 \\
    --hash=sha256:06
ziglang==4 \\
    --hash=sha256:07
"""


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), "--no-color", *DOCKERFILES],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_images_are_pinned_and_run_by_nobody_in_particular(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    assert re.search(r"^ARG BASE_IMAGE=\S+:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert not re.search(r"^ENTRYPOINT", text, re.MULTILINE), "Apptainer's exec would not see it"
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^FROM .* AS (\w+)$", text, re.MULTILINE) == ["dependencies", "release"]
    assert "--mount" not in text, "Docker's API builds without BuildKit"


def test_images_share_one_base() -> None:
    bases = {re.search(r"^ARG BASE_IMAGE=(.*)$", path.read_text(), re.MULTILINE)[1] for path in DOCKERFILES}
    assert len(bases) == 1


def test_a_build_sees_locks_scripts_and_code_alone() -> None:
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert patterns[0] == "*"
    assert [each for each in patterns if each[0] == "!"] == ["!docker/*.sh", "!envs/*.lock", "!stages", "!config.yaml"]


def install(folder: Path, hashes: str, cuda: str, *files: str) -> None:
    """Run install.sh with a pip that keeps what it would be given; `files` are what it would have installed."""
    (folder / "x.lock").write_text(LOCK)
    site = folder / "venv" / "lib" / "python3.11" / "site-packages"
    for file in ("a/__init__.py", *files):
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).touch()
    python = folder / "python3"
    python.write_text(
        f'#!/bin/bash\necho "$@" >>{folder}/calls\n[ "$2" = pip ] && cp "${{@: -1}}" {folder}/given\ntrue\n'
    )
    python.chmod(0o755)
    subprocess.run(
        ["bash", ROOT / "docker" / "install.sh", folder / "x.lock", hashes, cuda, folder / "venv"],
        env={"PATH": f"{folder}:/usr/bin:/bin", "TMPDIR": str(folder)}, cwd=folder, check=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("hashes", "cuda", "installed", "checked"),
    [
        ("required", "yes", LOCK, True),
        ("none", "yes", "a==1\ncuda-toolkit==13 ; sys_platform == 'linux'\n"
                        "nvidia-nccl==2 ; sys_platform == 'linux'\ntorch==3\nziglang==4\n", False),
        ("required", "no", "".join(LOCK.splitlines(keepends=True)[:3] + LOCK.splitlines(keepends=True)[8:10]), True),
        ("none", "no", "a==1\ntorch==3\n", False),
    ],
)  # fmt: skip
def test_what_is_installed(tmp_path: Path, hashes: str, cuda: str, installed: str, checked: bool) -> None:
    install(tmp_path, hashes, cuda)
    assert (tmp_path / "given").read_text() == installed
    calls = (tmp_path / "calls").read_text()
    assert ("--require-hashes" in calls) == checked
    assert "--no-deps" in calls
    assert (tmp_path / "x.lock").read_text() == LOCK
    assert not list(tmp_path.glob("tmp.*"))


def test_what_no_stage_runs_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = ["a/__init__.py", "a/testing/core.py", "a/tests.py", "torch/bin/torch_shm_manager", "torch/lib/libtorch.so",
            "triton/backends/nvidia/include/cuda.h", "triton/backends/nvidia/bin/ptxas", "ziglang/zig",
            "ziglang/lib/libc/glibc/abilists", "ziglang/lib/libc/include/x86_64-linux-gnu/a.h"]  # fmt: skip
    removed = ["a/tests/test_a.py", "a/b/tests/data/x", "torch/test/Dict_test", "torch/bin/test_api",
               "torch/bin/TCPStoreTest", "torch/bin/protoc-3.13.0.0", "triton/backends/nvidia/lib/cupti/libcupti.so",
               "ziglang/lib/libc/mingw/a.c", "ziglang/lib/libc/include/any-windows-any/a.h",
               "ziglang/lib/libc/include/generic-freebsd/a.h", "ziglang/lib/libc/darwin/a.c"]  # fmt: skip
    install(tmp_path, "none", "yes", *kept, *removed)
    site = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    assert sorted(str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()) == sorted(kept)


def test_caches_lie_below_tmpdir_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "BASH_ENV": str(ROOT / "docker" / "caches.sh"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(["bash", "-c", "env"], env={**environment, "HF_HOME": "/shared/hub"}, check=True,
                          capture_output=True, text=True)  # fmt: skip
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert seen["HF_HOME"] == "/shared/hub"
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH"):
        assert seen[name].startswith(f"{tmp_path}/mlip-caches-{os.getuid()}"), name

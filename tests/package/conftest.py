"""The wheel, installed in an empty environment outside the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from stages.common.files.code_digest import ROOT


@dataclass(frozen=True)
class Installed:
    wheel: Path
    environment: Path
    folder: Path  # where commands are called: nothing of the checkout is near

    def run(self, program: str, *arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, e.g. mlip or python, without PYTHONPATH."""
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(
            [self.environment / "bin" / program, *map(str, arguments)],
            cwd=self.folder, env=surroundings, input=stdin, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip


def pip(*arguments: object) -> None:
    command: Sequence[str] = [sys.executable, "-m", "pip", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Installed:
    """Built from a copy of the checkout, since setuptools leaves `build` behind; other packages come by a .pth file."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("elsewhere")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "stages", source / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    offline = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    pip("wheel", *offline, "--no-build-isolation", "--wheel-dir", source / "wheels", source)
    [wheel] = (source / "wheels").iterdir()
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    shared = environment / "lib" / version / "site-packages" / "shared.pth"
    shared.write_text(f"{sysconfig.get_path('purelib')}\n")
    pip("--python", environment / "bin" / "python", "install", *offline, "--ignore-installed", wheel)
    return Installed(wheel, environment, folder)

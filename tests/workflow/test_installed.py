"""Without containers the digest is of what is installed, however the lock is written."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stages.common.errors import InputError
from workflow.installed import environment_digest, installed, locked_names

ENVS = Path(__file__).resolve().parents[2] / "envs"
LOCK = """# a comment
numpy==2.0 \\
    --hash=sha256:aaaa \\
    --hash=sha256:bbbb
PyYAML==6.0 ; python_version >= '3.8'
requests[socks]==2.0
nobody-has-this==1.0
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch) -> None:
    """As in an activated environment: `python` is this one."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    environment_digest.cache_clear()


def digest(folder: Path, text: str) -> str:
    path = folder / f"{abs(hash(text))}.lock"
    path.write_text(text)
    return environment_digest(path)


def test_names_are_those_that_a_lock_pins() -> None:
    assert locked_names(LOCK) == ["nobody-has-this", "numpy", "pyyaml", "requests"]
    for lock in ENVS.glob("*.lock"):
        pins = [line for line in lock.read_text().splitlines() if re.match(r"[A-Za-z0-9]", line)]
        assert len(locked_names(lock.read_text())) == len(pins) > 0, lock


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text + "# edited\n",
        lambda text: text.replace("numpy==2.0", "numpy==99.0"),
        lambda text: text.replace("aaaa", "cccc"),
        lambda text: "\n".join(reversed(re.findall(r"^\w.*$", text, re.MULTILINE))),
        lambda text: text.replace("PyYAML", "pyyaml").replace("\n", "\r\n"),
        lambda text: text + "another-that-nobody-has==3\n",
        lambda text: text.replace("nobody-has-this==1.0\n", ""),
    ],
    ids=["comment", "a pin not installed", "hash", "order", "spelling", "added, not installed", "removed, never there"],
)
def test_what_changes_nothing_that_runs_changes_no_digest(tmp_path: Path, edit) -> None:
    assert digest(tmp_path, edit(LOCK)) == digest(tmp_path, LOCK)


def test_another_installed_version_changes_the_digest(tmp_path: Path, monkeypatch) -> None:
    """Also one that PYTHONPATH puts before the environment's, for every `python` alike."""
    before = digest(tmp_path, LOCK)
    for name, seen in (("numpy", True), ("pytest", False)):  # pytest is installed, but no pin of the lock
        described = tmp_path / name / f"{name}-0.0.1.dist-info" / "METADATA"
        described.parent.mkdir(parents=True)
        described.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.1\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / name))
        environment_digest.cache_clear()
        assert (digest(tmp_path, LOCK) != before) is seen, name


def test_the_version_of_python_is_part_of_what_is_installed(monkeypatch) -> None:
    before = installed([])
    monkeypatch.setattr("platform.python_version", lambda: "3.99.1")
    assert installed([]) != before


def test_an_added_distribution_that_is_installed_counts(tmp_path: Path) -> None:
    assert digest(tmp_path, LOCK + "scipy==1\n") != digest(tmp_path, LOCK)


def test_it_is_the_python_of_the_jobs_that_is_asked(tmp_path: Path, monkeypatch) -> None:
    """A `python` before Snakemake's own on PATH: the same environment has the same digest, another one has another."""
    here = digest(tmp_path, LOCK)
    first = tmp_path / "bin" / "python"
    first.parent.mkdir()
    monkeypatch.setenv("PATH", f"{first.parent}{os.pathsep}{os.environ['PATH']}")
    first.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    first.chmod(0o755)
    environment_digest.cache_clear()
    assert digest(tmp_path, LOCK) == here
    others = '{"python": "CPython 3.12.1", "numpy": "1", "pyyaml": "2", "requests": "3"}'
    first.write_text(f"#!/bin/sh\necho '{others}'\n")
    environment_digest.cache_clear()
    assert digest(tmp_path, LOCK) != here
    first.write_text("#!/bin/sh\nexit 1\n")
    environment_digest.cache_clear()
    with pytest.raises(InputError, match="the `python` of the jobs does not say what is installed"):
        digest(tmp_path, LOCK)


def test_a_python_of_another_environment_is_refused_before_the_first_job(tmp_path: Path, monkeypatch) -> None:
    """Where the file of wishes is there, its names count: pyyaml is only what others need."""
    (tmp_path / "x.lock").write_text(LOCK)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    monkeypatch.setenv("PATH", f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    python.write_text('#!/bin/sh\necho \'{"python": "CPython 3.12.1", "requests": "3"}\'\n')
    python.chmod(0o755)
    for wishes, lacking in ((None, "numpy, pyyaml"), ("-r other.in\nNumpy  # arrays\n", "numpy")):
        if wishes:
            (tmp_path / "x.in").write_text(wishes)
        environment_digest.cache_clear()
        with pytest.raises(InputError) as caught:
            environment_digest(tmp_path / "x.lock")
        assert caught.value.what == f"{python}: the `python` of the jobs lacks {lacking}"
        assert "PATH=.venv/bin:$PATH" in caught.value.remedy


def test_all_locks_take_a_moment() -> None:
    """In a process of its own, as a workflow starts."""
    program = (
        "import time; from pathlib import Path; from workflow.installed import environment_digest as of;"
        "import stages.common.digests; began = time.process_time();"
        f"[of(Path(each)) for each in {[str(path) for path in ENVS.glob('*.lock')]!r}];"
        "print(time.process_time() - began)"
    )
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(ENVS.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.0, "about 0.15 s on an idle machine"


def test_the_order_in_which_names_are_asked_does_not_count() -> None:
    names = locked_names(LOCK)
    assert installed(random.Random(0).sample(names, len(names))) == installed(names)

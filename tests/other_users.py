"""Commands of other users on this machine, and small file systems: both take root, and tests that need them say so.

The users have numbers alone. Each command has mounts of its own, in which folders that are closed to others (root's
home, say, with the interpreter) are open as far as the interpreter and the checkout need it.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ANNA, BOB, LAB = 61001, 61002, 62000
_ROOT = Path(__file__).resolve().parents[1]


def need_root() -> None:
    """Skip the test where this process may not change its user or mount."""
    tools = all(map(shutil.which, ("setpriv", "unshare", "mount")))
    if os.geteuid() or not tools or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("NO OTHER USERS AND NO SMALL DISKS TESTED: that takes root, setpriv and unshare")


@contextmanager
def shared_folder(owner: int = ANNA, mode: int = 0o2775) -> Iterator[Path]:
    """Yield a folder of the group, whose way is open to everybody, unlike that of pytest's own folders."""
    need_root()
    with tempfile.TemporaryDirectory(prefix="mlip-shared-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        folder = Path(name, "lab")
        folder.mkdir()
        os.chown(folder, owner, LAB)
        folder.chmod(mode)
        yield folder


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """Yield `folder` with a tmpfs of these options mounted on it."""
    need_root()
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def disk_with_quota(folder: Path, size: int) -> Iterator[Path]:
    """Yield `folder` with a btrfs mounted on it whose quota is `size` bytes: other kernels' quotas need more set-up."""
    need_root()
    if shutil.which("mkfs.btrfs") is None or "btrfs" not in Path("/proc/filesystems").read_text():
        pytest.skip("NO QUOTA TESTED: that takes btrfs in the kernel, and the Debian package btrfs-progs")
    image = folder.with_name(f"{folder.name}.img")
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(150 * 2**20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", image, folder], check=False).returncode:
        pytest.skip("NO QUOTA TESTED: no image can be mounted here")
    try:
        subprocess.run(["btrfs", "quota", "enable", folder], check=True)
        subprocess.run(["btrfs", "qgroup", "limit", str(size), "0/5", folder], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def run_as(
    user: int, *command: str | Path, cwd: Path, umask: int = 0o002, mounts: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command as a user of the group `LAB`; `mounts` is shell text that is run before, as root."""
    need_root()
    home = cwd.parent / f"home{user}"
    home.mkdir(exist_ok=True)
    os.chown(home, user, LAB)
    environment = {
        "HOME": str(home), "TMPDIR": str(home), "LOGNAME": f"user{user}", "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1",
    } | variables  # fmt: skip
    words = [f"{name}={value}" for name, value in environment.items()]
    start = ["setpriv", f"--reuid={user}", f"--regid={LAB}", "--clear-groups", "env", "-i", *words, *map(str, command)]
    script = "\n".join(["set -e", *_opened(), mounts, f"umask {umask:03o}", f"cd {shlex.quote(str(cwd))}", 'exec "$@"'])
    return subprocess.run(
        ["unshare", "-m", "bash", "-c", script, "-", *start], capture_output=True, text=True, check=False, timeout=500
    )


def _opened() -> list[str]:
    """Return the shell lines that open the way to the interpreter and the checkout."""
    lines = []
    needed = dict.fromkeys(Path(each).resolve() for each in (sys.base_prefix, sys.prefix, _ROOT))
    closed = {each: [up for up in reversed(each.parents) if not up.stat().st_mode & 0o001] for each in needed}
    for top in dict.fromkeys(ups[0] for ups in closed.values() if ups):
        inside = [each for each in needed if top in each.parents]
        kept = [f"/mnt/{number}" for number, _ in enumerate(inside)]
        lines += ["mount -t tmpfs tmpfs /mnt"]
        lines += [
            f"mkdir {place}; mount --bind {shlex.quote(str(each))} {place}"
            for each, place in zip(inside, kept, strict=True)
        ]
        lines += [f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(top))}"]
        lines += [
            f"mkdir -p {shlex.quote(str(each))}; mount --bind {place} {shlex.quote(str(each))}"
            for each, place in zip(inside, kept, strict=True)
        ]
    return lines

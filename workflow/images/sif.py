"""An image as one file for compute nodes. Its name holds the digest: a SIF is never replaced under a running job."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from stages.common.atomic_files import atomic_path
from stages.common.errors import InputError

# gzip, which every kernel reads. Against its default level: a third of the time, 12 % more room (report image, 736 MB).
SQUASHFS = "-Xcompression-level 1"


def sif_path(folder: Path, name: str, digest: str) -> Path:
    return folder / f"mlip-{name}-{digest.removeprefix('sha256:')[:12]}.sif"


def check_apptainer() -> None:
    """Raises InputError where there is no Apptainer."""
    if shutil.which("apptainer") is None:
        raise InputError("no apptainer on PATH: install it, load it (`module load apptainer`), or build with --no-sif")


def sif_from_archive(path: Path, save: Callable[[Path], None]) -> None:
    """Build `path` from the docker-archive that `save` writes to the file it is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as folder:
        archive = Path(folder) / "image.tar"
        save(archive)
        build_sif(path, f"docker-archive:{archive}")


def build_sif(path: Path, source: str) -> None:
    """Build `path`, whole or not at all, from a source that Apptainer knows (docker-archive:FILE, docker://NAME@DIGEST)."""
    with atomic_path(path) as temporary:
        command = ["apptainer", "build", "--disable-cache", "--mksquashfs-args", SQUASHFS, str(temporary), source]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout + done.stderr, file=sys.stderr)
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"{path}: apptainer build failed ({last}); its output above says more")

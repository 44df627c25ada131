"""SIF files: an image as one file, which compute nodes run.

Its name holds a digest, so a SIF is never replaced under a running job.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from stages.common.errors import InputError
from stages.common.files.atomic_files import atomic_path, sha256_of
from workflow.images.environment import container_program
from workflow.images.lock import ROOT

# gzip, which every kernel reads. Compared with its default level: a third of the time, 12 % more space (report image,
# 736 MB).
SQUASHFS = "-Xcompression-level 1"


def sif_path(folder: Path, image: str, digest: str) -> Path:
    """Return the path of the SIF of `image` (mlip-torch-cuda), whose name holds the digest."""
    return folder / f"{image}-{digest.removeprefix('sha256:')[:12]}.sif"


def check_apptainer() -> None:
    """Raise an InputError where there is no Apptainer, and no Singularity either."""
    if shutil.which(container_program()) is None:
        raise InputError("no apptainer on PATH: install it, load it (`module load apptainer`), or build with --no-sif")


def sif_from_archive(path: Path, save: Callable[[Path], None]) -> None:
    """Build `path` from the docker-archive that `save` writes to the file passed to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as folder:
        archive = Path(folder) / "image.tar"
        save(archive)
        build_sif(path, f"docker-archive:{archive}")


def sif_from_definition(folder: Path, image: str, text: str) -> tuple[Path, str]:
    """Build a SIF in `folder` from the text of a definition file; return its path and its digest (sha256:<hex>).

    The output goes to standard error. Raises InputError where the build or the image's own test fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as work:
        recipe, sif = Path(work) / "image.def", Path(work) / f"{image}.sif"
        recipe.write_text(text, encoding="utf-8")
        build_sif(sif, str(recipe), show=True)
        digest = f"sha256:{sha256_of(sif)}"
        path = sif_path(folder, image, digest)
        sif.replace(path)
    return path, digest


def build_sif(path: Path, source: str, show: bool = False) -> None:
    """Build `path` atomically from a source that Apptainer knows (docker-archive:FILE, docker://NAME@DIGEST, FILE.def).

    `show` copies the output to standard error while it comes; otherwise it is printed after a failure. Raises
    InputError where the build fails.
    """
    with atomic_path(path) as temporary:
        program = container_program()
        quicker = ["--mksquashfs-args", SQUASHFS] if program == "apptainer" else []  # unknown to Singularity 3
        command = [program, "build", "--disable-cache", *quicker, str(temporary), source]
        lines = []
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            for line in process.stdout or ():
                lines.append(re.sub(r"\x1b\[\d+m", "", line).rstrip())
                if show and "\u2501" not in line:  # without pip's progress bars
                    print(lines[-1], file=sys.stderr)
        if process.returncode:
            if not show:
                print("\n".join(lines), file=sys.stderr)
            reason = next((line for line in reversed(lines) if line), "no message")
            remedy = "see its output above" + (", or use published images (pull)" if show else "")
            raise InputError(f"{path.name}: {program} build failed ({reason})", remedy=remedy)

"""Jobs of this folder that stay in SLURM's queue when their Snakemake was killed.

The SLURM plugin does not take them up again: a new Snakemake would submit the same work beside them.
"""

import subprocess
from pathlib import Path

from stages.common.errors import InputError

_COMPLETING = "CG"
_NAMED = 20  # ids in the message


def refuse_left_jobs(folder: Path, locks: Path) -> None:
    """InputError where jobs of `folder` are queued or run although no other Snakemake works there.

    `locks` are Snakemake's own: one that works on another workspace of the folder holds a second pair, and its jobs are
    none of ours.
    """
    if len(list(locks.glob("*.output.lock"))) > 1:
        return
    left = _jobs_of(Path(folder).resolve())
    if left:
        named = " ".join(left[:_NAMED]) + (" ..." if len(left) > _NAMED else "")
        raise InputError(
            f"{len(left)} SLURM jobs of this folder are queued or running, and the Snakemake that submitted them is "
            f"gone; wait until they have ended, or end them: scancel {named}"
        )


def _jobs_of(folder: Path) -> list[str]:
    """Ids of this user's jobs that were submitted from `folder`; none where squeue does not answer."""
    command = ["squeue", "--me", "--noheader", "--format=%i|%t|%Z"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split("|", 2) for line in done.stdout.splitlines()]
    return [row[0] for row in rows if len(row) == 3 and row[1] != _COMPLETING and Path(row[2]).resolve() == folder]

"""Check which `snakemake` and `python` a run without containers would start: those of this environment, or others."""

import shutil
from pathlib import Path

from stages.common.errors import InputError
from workflow.doctor.findings import Finding, present
from workflow.installed import environment_digest

_IMAGES = ("preprocess", "torch", "report")  # what the jobs of all stages import


def check_programs(locks: Path) -> list[Finding]:
    """Return findings on the programs on PATH; `locks` is the folder of the lock files."""
    if not present("snakemake"):
        return [Finding("error", "PATH", "`snakemake` is not on it", "source .venv/bin/activate")]
    try:
        for image in _IMAGES:
            environment_digest(locks / f"{image}.lock")
    except InputError as error:
        return Finding.of_error("PATH", error)
    return [Finding("ok", "PATH", f"jobs start {shutil.which('python')}, which lacks nothing that this one has")]

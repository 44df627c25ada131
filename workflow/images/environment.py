"""What a stage's container sees of the machine: the folders bound into it and the variables that are let through.

Containers start with `--cleanenv`, so that nobody's PYTHONPATH or conda decides a result. That also drops what a job
needs, so it is passed by name: Apptainer hands on APPTAINERENV_X as X, and binds what APPTAINER_BIND lists.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from stages.common.errors import InputError
from stages.common.tracking import git_state

PASSED = (
    "CUDA_VISIBLE_DEVICES",  # the GPUs that SLURM gave to the job
    "SLURM_JOB_ID",
    "SLURM_RESTART_COUNT",
    "TMPDIR",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",  # by the environment, never on a command line that others can list
    "MLFLOW_TRACKING_TOKEN",
)


def container_environment(folders: Mapping[str, Path], environ: Mapping[str, str]) -> dict[str, str]:
    """Variables to set for Apptainer. `folders` maps what asks for a folder (a key of the configuration) to the folder.

    Folders that are not there yet are left out. Raises InputError, a line for each folder that cannot be bound.
    """
    lines, binds = [], dict.fromkeys(filter(None, environ.get("APPTAINER_BIND", "").split(",")))
    temporary = {"TMPDIR": Path(environ["TMPDIR"])} if environ.get("TMPDIR") else {}
    for key, folder in {**folders, **temporary}.items():
        for place in _places(folder):
            if set(",:") & set(str(place)):
                lines.append(
                    f"{key}: {place}: a path with a comma or a colon cannot be bound into a container; rename it"
                )
            elif not os.access(place, os.R_OK | os.X_OK):
                lines.append(
                    f"{key}: {place}: no right to read it, so no container can; ask its owner, or correct {key}"
                )
            else:
                binds[str(place)] = None
    if lines:
        raise InputError("\n".join(lines))
    passed = {f"APPTAINERENV_{name}": environ[name] for name in PASSED if name in environ}
    passed |= {f"APPTAINERENV_MLIP_{key.upper()}": value for key, value in git_state().items()}
    return passed | {"APPTAINER_BIND": ",".join(binds)}


def _places(folder: Path) -> Iterable[Path]:
    """Where a folder lies, by its own name and behind symbolic links; nothing where it does not exist."""
    if folder.exists():
        yield from dict.fromkeys([folder.absolute(), folder.resolve()])

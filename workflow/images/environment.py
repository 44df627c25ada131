"""Environment of a stage's container: the folders bound into it and the variables that are let through.

Containers start with `--cleanenv`, so that nobody's PYTHONPATH or conda decides a result. That also drops what a job
needs, so it is passed by name: Apptainer passes APPTAINERENV_X on as X, and binds what APPTAINER_BIND lists. Where
there is Singularity alone, the names begin with SINGULARITY.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from stages.common.data.node_copies import NODE_SCRATCH
from stages.common.errors import InputError, InputErrors
from stages.common.journal.environment import git_state

_SITE_BIND = "MLIP_SITE_BIND"  # the user's own APPTAINER_BIND

PASSED = (
    "CUDA_VISIBLE_DEVICES",  # the GPUs that SLURM gave to the job
    "SLURM_JOB_ID",
    "SLURM_RESTART_COUNT",
    "MLIP_INVOCATION",  # shared by the journals of one call of the workflow
    "MLIP_WORKSPACE",
    "MLIP_REGISTER_MODELS",
    "MLIP_PROGRESS",
    "MLIP_FINISHED_JOBS",  # outputs of the other jobs of a group
    NODE_SCRATCH,
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",  # in the environment, never on a command line that others can list
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",  # a file below a bound folder
)


def container_program() -> str:
    """Return the program that Snakemake starts containers with: apptainer, or singularity where that alone is there."""
    return "singularity" if shutil.which("singularity") and not shutil.which("apptainer") else "apptainer"


def container_environment(folders: Mapping[str, Path], environ: Mapping[str, str], temporary: Path) -> dict[str, str]:
    """Return the variables to set for Apptainer; `folders` maps a key of the configuration to its folder.

    Folders that do not exist yet are left out. `temporary` is of this machine: a job inherits the variables of the
    login node, whose TMPDIR may not exist here. Raises InputErrors, a line for each folder that cannot be bound.
    """
    program = container_program().upper()
    site = environ.get(_SITE_BIND, environ.get(f"{program}_BIND", ""))  # in a job the latter has our own additions
    errors, binds = [], dict.fromkeys(filter(None, site.split(",")))
    for key, folder in {**folders, "TMPDIR": temporary}.items():
        for place in _places(folder):
            if set(",:") & set(str(place)):
                what = f"{key}: {place}: containers cannot bind a path with a comma or a colon"
                errors.append(InputError(what, remedy="rename it, or use a link with another name"))
            elif not os.access(place, os.R_OK | os.X_OK):
                errors.append(
                    InputError(f"{key}: {place}: no permission to read it", remedy=f"ask its owner, or correct {key}")
                )
            else:
                binds[str(place)] = None
    if errors:
        raise InputErrors(errors)
    passed = {name: environ[name] for name in PASSED if name in environ} | {"TMPDIR": str(temporary)}
    git = {f"MLIP_{key.upper()}": value for key, value in git_state().items()}
    # `git` without the prefix, too: jobs inherit it, and no node asks git again.
    return (
        {f"{program}ENV_{name}": value for name, value in (passed | git).items()}
        | git
        | {
            f"{program}_BIND": ",".join(binds),
            _SITE_BIND: site,
        }
    )


def scratch_of_node(folder: str | None) -> dict[str, Path]:
    """Return NODE_SCRATCH -> the folder `node_scratch` of config.yaml; nothing without one.

    Variables are those of this machine: of the node, where a job reads the rules.
    """
    return {NODE_SCRATCH: Path(os.path.expandvars(folder)).absolute()} if folder else {}


def _places(folder: Path) -> Iterable[Path]:
    """Yield the locations of a folder, by its own name and behind symbolic links; nothing where it does not exist."""
    if folder.exists():
        yield from dict.fromkeys([folder.absolute(), folder.resolve()])

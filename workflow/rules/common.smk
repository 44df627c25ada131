"""What every rule needs: the checked configuration, and the digests that decide whether a job runs again."""

import sys
from pathlib import Path

REPOSITORY = Path(workflow.basedir).parent
sys.path.insert(0, str(REPOSITORY))

from snakemake.exceptions import WorkflowError

from stages.common.atomic_files import sha256_of
from stages.common.code_digest import code_digest
from stages.common.digests import canonical_json
from stages.common.errors import InputError
from stages.config import check

try:
    CONFIG = check(config)
except InputError as error:
    raise WorkflowError(str(error)) from None

# Stages are modules of the repository, wherever snakemake is called from.
shell.prefix(f"export PYTHONPATH={REPOSITORY}; ")

SYNC = (
    f"python -m stages.sync --tolerant --grace 0 --journals {CONFIG.workspace}/results --experiment {CONFIG.project} "
    f"--store sqlite:///{Path(CONFIG.workspace).resolve()}/mlflow.db --artifacts {CONFIG.workspace}/mlflow_artifacts"
)


def code_of(stage):
    """Digest of the code that a stage runs: comments and formatting do not count."""
    return code_digest(f"stages.{stage}.__main__")


def settings_of(stage):
    """Settings of a job as JSON, from its wildcards."""
    return lambda wildcards: canonical_json(
        CONFIG.settings(stage, wildcards.get("dataset"), wildcards.get("variant")).model_dump(mode="json")
    )


def image_of(image):
    """Digest of what a stage runs in; without containers, the pinned environment of its image."""
    return f"env-{sha256_of(REPOSITORY / 'envs' / f'{image}.lock')[:16]}"

"""What every job of one call of the workflow is told by the environment: it stands in no digest and reruns nothing."""

import secrets
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from stages.common.journals import workspace_name


def tracking_environment(project: str, workspace: Path, register_models: bool) -> dict[str, str]:
    """The experiment, the workspace, and an id of this call, by which the journals of its jobs are told together.

    Whether models are registered stands in the journals, too: a sync by hand does not read the configuration.
    """
    return {
        "MLFLOW_EXPERIMENT_NAME": project,
        "MLIP_WORKSPACE": workspace_name(workspace / "results"),
        "MLIP_REGISTER_MODELS": str(register_models).lower(),
        "MLIP_INVOCATION": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
    }


def sync_command(project: str, workspace: str, register_models: bool) -> str:
    """The import into MLflow at the end of a workflow, which it must not fail.

    By Snakemake's own interpreter, whose environment has MLflow: `python` may be another one.
    """
    words = [sys.executable, "-m", "stages.sync", "--tolerant", "--grace", "0", "--journals", f"{workspace}/results"]
    return shlex.join([*words, "--experiment", project, "--register-models", str(register_models).lower()])

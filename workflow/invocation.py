"""What every job of one call of the workflow is told by the environment: it stands in no digest and reruns nothing."""

import secrets
from datetime import UTC, datetime
from pathlib import Path

from stages.common.journals import workspace_name


def tracking_environment(project: str, workspace: Path) -> dict[str, str]:
    """The experiment, the workspace, and an id of this call, by which the journals of its jobs are told together."""
    return {
        "MLFLOW_EXPERIMENT_NAME": project,
        "MLIP_WORKSPACE": workspace_name(workspace / "results"),
        "MLIP_INVOCATION": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
    }

"""What a site must set before its cluster takes a job: checked when the workflow is read, not by 60 failed jobs."""

from collections.abc import Mapping
from typing import Any

from stages.common.errors import InputError

UNSET = "CHANGE_ME"


def check_account(default_resources: Mapping[str, Any] | None) -> None:
    """Refuse a `slurm_account` that is still the profile's placeholder. Values have their text in `.raw`."""
    account = (default_resources or {}).get("slurm_account")
    if account is not None and account.raw == UNSET:
        raise InputError(
            f"slurm/config.yaml: default-resources: slurm_account is still {UNSET}; write your account there "
            "(`sacctmgr show associations user=$USER` lists yours), or delete the line if your cluster has none"
        )

"""Describe where a stage runs, as tags: host, container, call of the workflow, and commit of the checkout."""

import os
import platform
import socket
import subprocess
from pathlib import Path

from ..files.code_digest import ROOT


def environment_tags() -> dict[str, str]:
    """Return the tags of a journal: host, job, container, call of the workflow, and commit."""
    tags = {"host": socket.gethostname(), "python": platform.python_version()}
    if job := os.environ.get("SLURM_JOB_ID"):
        tags["slurm_job_id"] = job
    for key, variable in (("project", "MLFLOW_EXPERIMENT_NAME"), ("invocation", "MLIP_INVOCATION"),
                          ("workspace", "MLIP_WORKSPACE"), ("register_models", "MLIP_REGISTER_MODELS")):  # fmt: skip
        if value := os.environ.get(variable):
            tags[key] = value
    if container := os.environ.get("APPTAINER_CONTAINER"):
        tags["container"] = Path(container).name
    return tags | git_state()


def git_state() -> dict[str, str]:
    """Return the commit of the checkout and whether it was edited since; empty where unknown.

    An image holds no repository, so its job gets them from environment variables.
    """
    if commit := os.environ.get("MLIP_GIT_COMMIT"):
        return {"git_commit": commit, "git_dirty": os.environ.get("MLIP_GIT_DIRTY", "unknown")}
    if commit := _git("rev-parse", "HEAD"):
        # settings and prompts of one's own may lie in the checkout: they are no change of the code
        changed = _git("status", "--porcelain", "--untracked-files=no")
        added = _git("ls-files", "--others", "--exclude-standard", "stages", "workflow")
        return {"git_commit": commit, "git_dirty": str(bool(changed or added)).lower()}
    return {}


def _git(*arguments: str) -> str | None:
    """Return the output of git in the checkout, or None where there is no git or no repository (as in an image)."""
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

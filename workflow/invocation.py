"""One call of snakemake: its tracking environment, and jobs left in SLURM's queue by a killed call.

The environment tells every job of one call what they share; it is part of no digest and reruns nothing. The SLURM
plugin does not resume jobs whose Snakemake was killed: a new Snakemake would submit the same work again.
"""

import os
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import redirect_stderr
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

from snakemake.cli import parse_args

from stages.common.errors import InputError
from stages.common.journal.journals import workspace_name
from stages.configuration import Config
from stages.summarize.contract import HEADLINE

_COMPLETING = "CG"
_NAMED = 20  # ids in the message


def refuse_left_jobs(folder: Path, locks: Path) -> None:
    """Raise an InputError where jobs of `folder` are queued or running although no other Snakemake works there.

    `locks` are Snakemake's own. A Snakemake that works on another workspace of the folder holds a second pair, and its
    jobs are not ours.
    """
    if len(list(locks.glob("*.output.lock"))) > 1:
        return
    left = _jobs_of(Path(folder).resolve())
    if left:
        named = " ".join(left[:_NAMED]) + (" ..." if len(left) > _NAMED else "")
        raise InputError(
            f"{len(left)} SLURM jobs of this folder are queued or running, but the Snakemake that submitted them is "
            f"gone",
            remedy=f"wait until they have ended, or end them: scancel {named}",
        )


def _jobs_of(folder: Path) -> list[str]:
    """Return the ids of this user's jobs that were submitted from `folder`; none where squeue does not answer."""
    command = ["squeue", "--me", "--noheader", "--format=%i|%t|%Z"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split("|", 2) for line in done.stdout.splitlines()]
    return [row[0] for row in rows if len(row) == 3 and row[1] != _COMPLETING and Path(row[2]).resolve() == folder]


def groups_asked_for(program: str, arguments: Sequence[str]) -> tuple[Mapping[str, str], Mapping[str, int]]:
    """Return the groups of Snakemake's command line and profiles, and how many components share one.

    Snakemake itself tells a Snakefile of them only when its rules have been read. `program` is the command that was
    called; of another one than Snakemake's nothing is known.
    """
    if "snakemake" not in Path(program).parts[-2:]:
        return {}, {}
    with redirect_stderr(StringIO()):  # "Using profile ...", which has been said
        asked = parse_args(arguments)[1]
    return asked.groups or {}, asked.group_components or {}


def refuse_unknown_ends(status_command: str | None) -> None:
    """Raise an InputError where Snakemake could not learn how its jobs end: it would wait for the first one for ever.

    `status_command` is the program that it asks, None on other schedulers. Without sacct it asks squeue by itself.
    """
    if status_command != "sacct" or shutil.which("sacct") is None:
        return
    command = ["sacct", "--noheader", "--allocations", "--starttime=now-1hour", "--format=JobID"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        problem = "no answer in 60 s"
    else:
        if done.returncode == 0:
            return
        problem = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
    raise InputError(
        f"sacct, which tells how jobs ended, does not answer: {problem}",
        remedy="without accounting uncomment `slurm-status-command: squeue` in slurm/config.yaml; else try again later",
    )


def tracking_environment(project: str, workspace: Path, register_models: bool) -> dict[str, str]:
    """Return the experiment, the workspace, and an id of this call that links the journals of its jobs.

    Whether models are registered is also recorded in the journals, because a sync by hand does not read the
    configuration.
    """
    return {
        "MLFLOW_EXPERIMENT_NAME": project,
        "MLIP_WORKSPACE": workspace_name(workspace / "results"),
        "MLIP_REGISTER_MODELS": str(register_models).lower(),
        "MLIP_INVOCATION": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
    }


def sync_command(project: str, workspace: str, register_models: bool) -> str:
    """Return the command that imports the journals into MLflow at the end of a workflow, without ever failing it.

    It uses Snakemake's own interpreter, whose environment has MLflow: `python` may be another one.
    """
    words = [sys.executable, "-m", "stages.sync", "--tolerant", "--grace", "0", "--journals", f"{workspace}/results"]
    return shlex.join([*words, "--experiment", project, "--register-models", str(register_models).lower()])


def last_words(config: Config, report: Path) -> str:
    """Return what ends a run that made the report: its figures, then the report, the runs in MLflow, the model."""
    headline = report.parent / "tables" / HEADLINE
    figures = headline.read_text(encoding="utf-8") if headline.is_file() else ""
    described = figures.split()[-1] if figures else config.compared[0].name  # stages/summarize/tables/all_tables.py
    workspace = "" if config.workspace == "runs/demo" else f" WORKSPACE={shlex.quote(config.workspace)}"
    pages = "at MLFLOW_TRACKING_URI" if os.environ.get("MLFLOW_TRACKING_URI") else f"make ui{workspace}"
    model = Path(config.workspace, "results", "select_checkpoint", described, "checkpoint")
    prompts = "FILE"
    if config.evaluate_on:
        prompts = str(config.settings("zero_shot_classification", config.evaluate_on[0]).prompts or "FILE")
        if len(findings := config.settings("label_images", config.evaluate_on[0]).by_finding) > 1:
            prompts += f" --finding {next(iter(findings))}"
    return "\n".join([
        "", figures,
        f"The report: {report.resolve()}",
        f"The runs in MLflow: {pages}",
        f"The model: mlip predict IMAGE.dcm --prompts {prompts} --checkpoint {model}",
    ])  # fmt: skip


_MOST_WARNINGS = 20


def print_warnings(logs: Path, since: float, planted: Collection[str] = ()) -> None:
    """Print on the terminal what the jobs of this call warned about: else it stands in logs that nobody opens.

    `since` is the start of the call, in seconds of Unix time; logs that are older are those of earlier calls. `planted`
    are the data sets of make_phantom, which draws files that have to be rejected.
    """
    found: dict[str, Path] = {}
    for log in sorted(logs.rglob("*.log")):
        try:
            if log.is_file() and log.stat().st_mtime >= since:
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
                found |= {line: log for line in lines if line.startswith("warning: ") and line not in found}
        except OSError:  # removed meanwhile
            continue
    for line, log in list(found.items())[:_MOST_WARNINGS]:
        is_planted = " rejected" in line and any(line.startswith(f"warning: {name}: ") for name in planted)
        expected = " (as they should be: make_phantom planted them in its synthetic data)" if is_planted else ""
        print(f"{line}{expected} [{log}]", file=sys.stderr)
    if len(found) > _MOST_WARNINGS:
        print(f"warning: {len(found) - _MOST_WARNINGS} more warnings below {logs}", file=sys.stderr)

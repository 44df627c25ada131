"""What a user of the cluster has, and the command as typed."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from accounting import ACCOUNT
from two_node_slurm import TwoNodeSlurm

PROFILE = "workflow/profiles/slurm/config.yaml"


def set_account(folder: Path) -> None:
    """Edit the profile as its user must: the account, and nothing else."""
    profile = folder / PROFILE
    profile.write_text(profile.read_text().replace("slurm_account: CHANGE_ME", f"slurm_account: {ACCOUNT}"))


@dataclass
class Checkout:
    """What a user has: a clone with its images built and the account line of the profile dealt with."""

    folder: Path
    slurm: TwoNodeSlurm

    def command(self, *arguments: str) -> list[str]:
        """The user's command, with less of everything, since this machine has two cores.

        Six jobs are queued for them: the plugin looks for ended jobs at growing intervals, and no node must wait.
        """
        return [
            *(sys.executable, "-m", "snakemake", "--profile", "slurm", "--jobs", "6", "--max-threads", "1"),
            *("--configfile", "workflow/profiles/demo/settings.yaml", "tests/cluster/small_settings.yaml"),
            *("--slurm-init-seconds-before-status-checks", "2"),
            *("--seconds-between-status-checks", "3", "--max-status-checks-per-second", "1", "--latency-wait", "10"),
            *arguments,
        ]

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def snakemake(self, *arguments: str, check: bool = True, seconds: float = 900, **environment: str) -> str:
        """Output of a run. One that hangs is killed, since `timeout` would only ask Snakemake to finish."""
        running = self.start(*arguments, **environment)
        try:
            output, _ = running.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            raise
        assert (running.returncode == 0) == check, output + self.failed_logs()
        return output

    def failed_logs(self) -> str:
        logs = sorted((self.folder / "slurm_logs").rglob("*.log"), key=lambda path: path.stat().st_mtime)
        return "".join(f"\n--- {path}\n{path.read_text()[-9000:]}" for path in logs[-3:])

    @property
    def results(self) -> Path:
        return self.folder / "runs" / "demo" / "results"

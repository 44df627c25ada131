"""A dry run of Snakemake: its jobs with their inputs, outputs, commands and reasons, or the error that ended it."""

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from stages.common.errors import InputError, InputErrors

_BANNER = re.compile(
    r"(Using profile|host:|Building DAG|Assuming unrestricted|Using shell|Provided |Rules claiming|  |Config|Workflow|"
    r"Snakemake|Working directory|Full Traceback|  File|Traceback|$)"
)
_PLACE = re.compile(r"WorkflowError( in (rule|file) .*)?:$")  # of Snakemake, before the lines of ours


@dataclass
class Job:
    """A job as printed by a dry run of Snakemake."""

    rule: str
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    reason: str = ""
    command: list[str] = field(default_factory=list)

    @property
    def stage(self) -> str | None:
        """Return the stage that it runs, or None for a job that keeps no journal."""
        if "-m" not in self.command or "--journal" not in self.command:
            return None
        return self.command[self.command.index("-m") + 1].removeprefix("stages.")

    @property
    def subcommand(self) -> str:
        """Return the job of the stage, for a stage that has several; else nothing."""
        word = self.command[self.command.index("-m") + 2]
        return "" if word.startswith("--") else word

    def option(self, name: str, default: str = "") -> str:
        """Return the word after `name`; `default` where the command lacks it, or gives it without a value."""
        after = self.command[self.command.index(name) + 1 :] if name in self.command else []
        return after[0] if after and not after[0].startswith("--") else default

    def words(self, name: str) -> list[str]:
        """Return the words after `name`, up to the next option."""
        after = self.command[self.command.index(name) + 1 :] if name in self.command else []
        return list(takewhile(lambda word: not word.startswith("--"), after))

    @property
    def name(self) -> str:
        """Return the rule and the run's name."""
        return f"{self.rule} {self.option('--name')}".rstrip()


def read_jobs(text: str) -> list[Job]:
    """Return the jobs in the output of `snakemake --dry-run --printshellcmds`."""
    jobs: list[Job] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] in ("rule", "localrule", "checkpoint") and line.endswith(":"):
            jobs.append(Job(words[1].removesuffix(":")))
        elif line.startswith("Shell command: ") and jobs:
            jobs[-1].command = shlex.split(line.removeprefix("Shell command: "))
        elif line.startswith("    ") and jobs:
            key, _, value = line.strip().partition(": ")
            if key in ("input", "output"):
                setattr(jobs[-1], f"{key}s", value.split(", "))
            elif key == "reason":
                jobs[-1].reason = value
    return jobs


def dry_run(arguments: Sequence[str]) -> list[Job]:
    """Return the jobs of a dry run with these arguments. Raises InputError with Snakemake's error."""
    # --rerun-incomplete: while a run is in progress, its outputs count as incomplete, which else ends the dry run.
    more = ["--dry-run", "--printshellcmds", "--nolock", "--rerun-incomplete"]
    command = [sys.executable, "-m", "snakemake", *arguments, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = _errors_in(done.stderr + done.stdout) or [f"snakemake: exit status {done.returncode}"]
        raise InputErrors(InputError(line) for line in lines)
    return read_jobs(done.stdout)


def _errors_in(text: str) -> list[str]:
    """Return the lines of a failed Snakemake that matter: errors of ours one by one, else its own in one."""
    lines = text.strip().splitlines()
    if text.startswith("usage:"):
        return lines[-1:]
    first = next((place for place, line in enumerate(lines) if re.search(r"(Error|Exception|error)\b", line)), None)
    if first is not None and _PLACE.match(lines[first]):
        # Our lines, without Snakemake's blanks before them and its own stack after them.
        return [line.strip() for line in takewhile(lambda line: not line.startswith("  File "), lines[first + 1 :])
                if line.strip()]  # fmt: skip
    kept = [line for line in lines if not _BANNER.match(line)] if first is None else lines[first:]
    return ["snakemake: " + " ".join(line.strip() for line in kept)] if kept else []

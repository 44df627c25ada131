"""Programs of the site that are asked, each with a limit of time; nothing here raises."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What a program said. `problem` is None where it ended well, else one line why it did not."""

    output: str
    problem: str | None

    def __bool__(self) -> bool:
        return self.problem is None


def present(program: str) -> bool:
    return shutil.which(program) is not None


def ask(*command: str, seconds: float = 20, environment: Mapping[str, str] | None = None) -> Answer:
    """Run a program; `environment` is added to this process's."""
    variables = os.environ | dict(environment or {})
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False, env=variables,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer("", f"{command[0]}: no answer in {seconds:.0f} s")
    except OSError as error:
        return Answer("", f"{command[0]}: {error.strerror}")
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]
        said = last.removeprefix(f"{command[0]}: ")
        return Answer(done.stdout, f"{command[0]}: {said[:200]}")
    return Answer(done.stdout, None)

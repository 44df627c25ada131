"""Findings of the doctor, their table, and the programs of the site that it asks.

A finding says right, wrong, or not checked, and what to do. Programs are asked with a time limit; nothing here raises.
"""

import os
import shutil
import subprocess
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stages.common.errors import InputError

Status = Literal["ok", "warning", "error", "not checked"]


@dataclass(frozen=True)
class Finding:
    """One line of the table. `error`: a run would fail; `warning`: it would run, but perhaps not as intended."""

    status: Status
    subject: str
    what: str
    remedy: str = ""

    @classmethod
    def of_error(cls, subject: str, error: InputError) -> list["Finding"]:
        """Return a finding for each wrong input of an error."""
        return [cls("error", subject, each.what, each.remedy) for each in error.errors]


_MARKS: dict[Status, str] = {"ok": "ok", "warning": "warning", "error": "ERROR", "not checked": "-"}
_WIDTH = 118


def table(findings: Sequence[Finding]) -> str:
    """Return all findings as text for a terminal, each with its remedy below it, and a summary in the last line."""
    subjects = max(len(each.subject) for each in findings)
    lines = []
    for each in findings:
        start = f"{_MARKS[each.status]:8} {each.subject:{subjects}}  "
        lines += _wrapped(start, each.what)
        if each.remedy:
            lines += _wrapped(" " * len(start) + "-> ", each.remedy)
    return "\n".join([*lines, "", summary(findings)])


def summary(findings: Iterable[Finding]) -> str:
    """Return a sentence with the number of findings of each status."""
    counts = {status: sum(each.status == status for each in findings) for status in _MARKS}
    words = f"ok: {counts['ok']}, warnings: {counts['warning']}, not checked: {counts['not checked']}"
    if not counts["error"]:
        return f"A run would start ({words})."
    return f"A run would fail (errors: {counts['error']}, {words})."


def failed(findings: Iterable[Finding]) -> bool:
    """Return whether a run would fail."""
    return any(each.status == "error" for each in findings)


def _wrapped(start: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """Output of a program. `problem` is None where it succeeded, else a line that says why it did not."""

    output: str
    problem: str | None

    def __bool__(self) -> bool:
        return self.problem is None


def present(program: str) -> bool:
    """Return whether a program is on PATH."""
    return shutil.which(program) is not None


def ask(*command: str, seconds: float = 20, environment: Mapping[str, str] | None = None) -> Answer:
    """Run a program and return its output; `environment` is added to this process's."""
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

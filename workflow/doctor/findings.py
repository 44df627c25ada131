"""What the doctor finds, how it is printed, and the programs that it asks.

What a check says: right, wrong, or not looked at; and what to do.

Programs of the site that are asked, each with a limit of time; nothing here raises.
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
    """One line of the table. `error`: a run would fail; `warning`: it would run, but perhaps not as meant."""

    status: Status
    subject: str
    what: str
    remedy: str = ""

    @classmethod
    def of_error(cls, subject: str, error: InputError) -> list["Finding"]:
        """Return a finding for each of the inputs that an error calls wrong."""
        return [cls("error", subject, each.what, each.remedy) for each in error.errors]


_MARKS: dict[Status, str] = {"ok": "ok", "warning": "warning", "error": "ERROR", "not checked": "-"}
_WIDTH = 118


def table(findings: Sequence[Finding]) -> str:
    """All findings as text for a terminal, each with its remedy below it, and a last line that sums them up."""
    subjects = max(len(each.subject) for each in findings)
    lines = []
    for each in findings:
        start = f"{_MARKS[each.status]:8} {each.subject:{subjects}}  "
        lines += _wrapped(start, each.what)
        if each.remedy:
            lines += _wrapped(" " * len(start) + "-> ", each.remedy)
    return "\n".join([*lines, "", summary(findings)])


def summary(findings: Iterable[Finding]) -> str:
    counts = {status: sum(each.status == status for each in findings) for status in _MARKS}
    words = f"ok: {counts['ok']}, warnings: {counts['warning']}, not checked: {counts['not checked']}"
    if not counts["error"]:
        return f"A run would start ({words})."
    return f"A run would fail (errors: {counts['error']}, {words})."


def failed(findings: Iterable[Finding]) -> bool:
    """Whether a run would fail."""
    return any(each.status == "error" for each in findings)


def _wrapped(start: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


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

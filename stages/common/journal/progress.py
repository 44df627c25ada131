"""Progress of a stage: one rewritten line on a terminal, lines in a log, or JSON lines for machines.

    with progress("files", total=len(rows), done=resumed) as report:
        for row in rows:
            ...
            report.advance()                        # or report.at(step, "loss 3.21")

A log has a line after 10 s, then whenever a fifth more time has passed, at least one a minute: what reads the last
line (workflow/terminal.py) knows how far a short job is, and a long one fills no page.

Everything goes to standard error, and nothing into a result. MLIP_PROGRESS selects the form: `auto` (the default:
whether standard error is a terminal decides), `line`, `log`, `json` or `off`. A JSON line holds what, done, total, rate
(per second), seconds, seconds_left and note.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOBase
from typing import SupportsFloat, TextIO

Note = str | Callable[[], str]
_SECONDS_BETWEEN = {"line": 0.5, "log": 60.0, "json": 60.0}
_SHORTEST = 5.0  # s between two lines of a log
_FIRST_LINE = 10.0  # s: a log shows early that work has begun


@dataclass
class Progress:
    """Progress counter. `done` at the start is the work of an earlier run and does not count in the rate."""

    what: str
    total: int
    done: int = 0
    mode: str = "log"
    stream: TextIOBase | None = None
    _first: int = field(init=False)
    _started: float = field(init=False)
    _due: float = field(init=False)
    _spoke: bool = field(init=False, default=False)
    _note: Note = field(init=False, default="")

    def __post_init__(self) -> None:
        self._first, self._started = self.done, time.monotonic()
        self._due = self._started + min(_FIRST_LINE, _SECONDS_BETWEEN.get(self.mode, 60.0))

    def advance(self, count: int = 1, note: Note | None = None) -> None:
        """Report that `count` more items are done."""
        self.at(self.done + count, note)

    def at(self, done: int, note: Note | None = None) -> None:
        """Report that `done` items are done; cheap enough to call for every item.

        `note` (a loss, say) is shown until the next one. A function is called when a line is printed, because reading a
        number from a GPU waits for all that was asked of it.
        """
        self.done = int(done)
        if note is not None:
            self._note = note
        if self.mode != "off" and (now := time.monotonic()) >= self._due:
            self._due, self._spoke = now + self._pause, True
            self._write(last=False)

    def close(self) -> None:
        """Print the last line, unless the work ended before a first one was due."""
        if self.mode != "off" and self._spoke:
            self._write(last=True)

    @property
    def _pause(self) -> float:
        most = _SECONDS_BETWEEN.get(self.mode, 60.0)
        return min(most, max(_SHORTEST, (time.monotonic() - self._started) / 5)) if self.mode == "log" else most

    def _write(self, last: bool) -> None:
        seconds = time.monotonic() - self._started
        rate = (self.done - self._first) / seconds if seconds > 0 else 0.0
        left = (self.total - self.done) / rate if rate > 0 else None
        note = self._note() if callable(self._note) else self._note
        if self.mode == "json":
            record = {"what": self.what, "done": self.done, "total": self.total, "rate": round(rate, 3),
                      "seconds": round(seconds, 1), "seconds_left": left and round(left, 1),
                      "note": note}  # fmt: skip
            text = json.dumps(record) + "\n"
        else:
            text = "  ".join(filter(None, (_line(self, seconds, rate, left, last), note)))
            text = f"\r\x1b[K{text}{chr(10) if last else ''}" if self.mode == "line" else f"{text}\n"
        try:
            print(text, end="", file=self.stream or sys.stderr, flush=True)
        except (OSError, ValueError):  # nobody reads standard error any more: no reason to stop
            self.mode = "off"


@contextmanager
def progress(what: str, total: int, done: int = 0, stream: TextIOBase | None = None) -> Iterator[Progress]:
    """Report on `total` items called `what`, of which an earlier run did `done`."""
    report = Progress(what, total, done, _mode(stream or sys.stderr), stream)
    try:
        yield report
    finally:
        report.close()


def _mode(stream: TextIOBase | TextIO) -> str:
    asked = os.environ.get("MLIP_PROGRESS", "auto")
    if asked in {"line", "log", "json", "off"}:
        return asked
    return "line" if stream.isatty() else "log"


def _line(report: Progress, seconds: float, rate: float, left: float | None, last: bool) -> str:
    share = f"{100 * report.done / report.total:.0f} %, " if report.total else ""
    ending = (
        f"in {duration(seconds)}" if last else f"{duration(left)} left" if left is not None else "time left unknown"
    )
    return f"{report.done:,} of {report.total:,} {report.what} ({share}{_rate(rate)}, {ending})"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2f}/s" if rate >= 0.1 else f"{60 * rate:.2f}/min"


def duration(seconds: SupportsFloat) -> str:
    """Return a duration for people: 42 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    whole = round(float(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"

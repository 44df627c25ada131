"""What a run on this machine says on the terminal: one line per job, and how far the running ones are.

Snakemake prints a block of up to twenty lines for each job, and nothing while it runs. Its own text is whole in
.snakemake/log/. Errors and warnings stay as they are; so does all output on a cluster, of a dry run, and with
--verbose, --quiet, --printshellcmds or a logger plugin. A plugin of our own would have to be installed wherever the
workflow is called: this handler comes with the Snakefile.

On a terminal the lines of running jobs are rewritten each second, elsewhere they are written after 5 s and then once a
minute. Progress is read from the last line of a job's log, so that a job does no more than without.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from stages.common.journal.progress import duration
from stages.common.wording import counted

_DEFAULT = "DefaultStreamHandler"  # Snakemake's name of the handler that is replaced
_SAID_OTHERWISE = {LogEvent.WORKFLOW_STARTED, LogEvent.RESOURCES_INFO, LogEvent.JOB_STARTED, LogEvent.PROGRESS,
                   LogEvent.SHELLCMD}  # fmt: skip
_HIDDEN_PREFIXES = (
    "Building DAG of jobs", "Using shell: ", "Select jobs to execute", "Group jobs: inactive",
    "Singularity containers: ignored", "Conda environments: ignored", "Rules claiming more threads",
)  # fmt: skip
_ALL = "all"  # the rule that only asks for the report
_FIRST, _NEXT = 5.0, 60.0  # s until a running job is named outside a terminal, and named again
_MOST = 8  # lines of running jobs on a terminal
_TAIL = 4096  # bytes of a log
_COUNT = re.compile(r"\d of [\d,]+ ?")


@dataclass
class _Running:
    name: str
    log: Path | None
    started: float
    due: float


class Terminal(logging.Handler):
    """Writes in place of `whole`, Snakemake's handler of the terminal, which still writes errors and the like."""

    def __init__(self, whole: logging.StreamHandler[TextIO], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._whole, self._stream, self._clock = whole, whole.stream, clock
        self.filters = list(whole.filters)
        self._rewrites = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._running: dict[int, _Running] = {}
        self._began, self._cores = clock(), 0
        self._done = self._total = self._drawn = 0
        self._ended = threading.Event()
        self._failed = False
        self._over = False  # what Snakemake adds after the run's own last words is left out

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, above the lines of running jobs. The caller holds the lock.

        Keys of Snakemake's records are not documented, and a stream may refuse a character or be closed. Whatever
        fails, the run goes on: Snakemake's handler then writes this record and all later ones.
        """
        if not self._failed:
            try:
                self._handle(record)
                self._draw()
                return
            except Exception:
                self._give_up()
        with suppress(Exception):  # it raises BrokenPipeError where nobody reads the terminal any more
            self._whole.emit(record)

    def end(self) -> None:
        """Say how long the whole run took, and leave the last words to the caller."""
        with self._locked():
            if self._failed:
                return
            self._over = True
            took = duration(self._clock() - self._began)
            done = f"{counted(self._done, 'job')} done in {took}"
            with suppress(Exception):
                self._write(f"{done}. What Snakemake says of each: .snakemake/log/")

    def close(self) -> None:
        """Stop rewriting, and take away the lines of jobs that were running: Ctrl-C ends them, too."""
        self._ended.set()
        with self._locked(), suppress(Exception):
            self._put("")
        super().close()

    def watch(self) -> None:
        """Call `tick` each second, in a thread of its own, until the handler is closed or its stream fails."""
        while not self._ended.wait(1.0):
            self.tick()

    def tick(self) -> None:
        """Write anew how far the running jobs are, if it is time."""
        with self._locked():
            try:
                self._show_running()
            except Exception:
                self._give_up()

    def _show_running(self) -> None:
        if self._rewrites:
            self._draw()
            return
        now = self._clock()
        for job in self._running.values():
            if now >= job.due:
                job.due = now + _NEXT
                self._write(self._line(job))

    def _give_up(self) -> None:
        self._failed = True
        self._ended.set()
        with suppress(Exception):
            self._put("")

    def _locked(self) -> threading.RLock:
        assert self.lock is not None  # `createLock` is part of every handler
        return self.lock

    def _handle(self, record: logging.LogRecord) -> None:
        event, said = getattr(record, "event", None), vars(record)
        if event == LogEvent.RUN_INFO:
            stats = said["stats"]
            self._total = stats["total"] - stats.get(_ALL, 0)
            self._write(f"{counted(self._total, 'job')} on {counted(self._cores, 'core')}")
        elif event == LogEvent.JOB_INFO:
            self._start(said)
        elif event == LogEvent.JOB_FINISHED:
            self._finish(said["job_id"], "")
        elif event == LogEvent.JOB_ERROR:
            self._finish(said["jobid"], "FAILED after ")
            self._pass_on(record)
        elif event == LogEvent.RESOURCES_INFO and "cores" in said:
            self._cores = said["cores"]
        elif record.levelno >= logging.WARNING or not (
            self._over or event in _SAID_OTHERWISE or "quietness" in said or _is_hidden(record)
        ):
            self._pass_on(record)

    def _start(self, said: Mapping[str, Any]) -> None:
        if said["rule_name"] == _ALL:
            return
        now = self._clock()
        name = " ".join(filter(None, (said["rule_name"], "/".join(map(str, said["wildcards"].values())))))
        log = Path(said["log"][0]) if said["log"] else None
        self._running[said["jobid"]] = _Running(name, log, now, now + _FIRST)

    def _finish(self, jobid: int, how: str) -> None:
        if (job := self._running.pop(jobid, None)) is None:
            return
        self._done += not how
        width = len(str(self._total))
        took = duration(self._clock() - job.started)
        self._write(f"[{self._done:{width}}/{self._total}] {job.name}: {how}{took}")

    def _draw(self) -> None:
        if not self._rewrites or self._ended.is_set():
            return
        columns, rows = _size_of(self._stream)
        jobs = list(self._running.values())
        lines = [self._line(job) for job in jobs[: min(_MOST, max(rows - 2, 1))]]
        lines += [f"  ... {len(jobs) - len(lines)} more"] if len(jobs) > len(lines) else []
        self._put("".join(f"{line[: columns - 1]}\n" for line in lines))
        self._drawn = len(lines)

    def _put(self, text: str) -> None:
        """Write text in place of the lines of running jobs, at once, so that nothing flickers."""
        erased = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
        if erased or text:
            self._stream.write(erased + text)
            self._drawn = 0
            self._stream.flush()

    def _line(self, job: _Running) -> str:
        parts = (f"  ... {job.name}: {duration(self._clock() - job.started)}", progress_in(job.log))
        return ", ".join(filter(None, parts))

    def _write(self, line: str) -> None:
        self._put(f"{line}\n")

    def _pass_on(self, record: logging.LogRecord) -> None:
        self._put("")
        self._whole.emit(record)


def _is_hidden(record: logging.LogRecord) -> bool:
    return str(record.msg).startswith(_HIDDEN_PREFIXES)


def progress_in(log: Path | None) -> str:
    """Return the last line of a job's log, if it counts (`640 of 1,566 ...`); else nothing."""
    if log is None:
        return ""
    try:
        with log.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:  # not begun
        return ""
    last = " ".join(lines[-1].split()) if lines else ""
    return last if _COUNT.search(last) and not last.startswith("warning: ") else ""


def _size_of(stream: TextIO) -> tuple[int, int]:
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns = rows = 0
    return columns or 80, rows or 24


def replace_handler(workflow: Any) -> Terminal | None:
    """Replace Snakemake's handler of the terminal in a run on this machine; None where it stays."""
    output = workflow.output_settings
    asked = output.dryrun or output.quiet or output.verbose or output.printshellcmds or output.debug_dag
    if asked or not workflow.is_main_process or workflow.resource_settings.nodes is not None:
        return None
    for handler in logger.handlers:
        if handler.name == _DEFAULT and isinstance(handler, logging.StreamHandler):
            terminal = Terminal(handler)
            logger.removeHandler(handler)
            logger.addHandler(terminal)
            threading.Thread(target=terminal.watch, daemon=True).start()
            return terminal
    return None

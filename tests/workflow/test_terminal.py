"""A line per job in place of Snakemake's blocks, and the progress of running jobs, on a terminal and in a file."""

import io
import logging
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.logging import DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent

from workflow import terminal as subject
from workflow.terminal import Terminal, progress_in, replace_handler


class Screen(io.StringIO):
    """Shows what a terminal would: text after the cursor went up replaces what stood there."""

    def isatty(self) -> bool:
        return True

    def shown(self) -> list[str]:
        lines: list[str] = [""]
        for part in re.split(r"(\x1b\[\d+A\x1b\[J)", self.getvalue()):
            if up := re.match(r"\x1b\[(\d+)A", part):
                assert lines[-1] == ""
                lines = [*lines[: -1 - int(up[1])], ""]
            else:
                first, *rest = part.split("\n")
                lines = [*lines[:-1], lines[-1] + first, *rest]
        return [line for line in lines if line]


class Run:
    """Snakemake's logger with our handler, and a clock."""

    def __init__(self, stream: io.StringIO, monkeypatch) -> None:
        monkeypatch.delenv("TERM", raising=False)
        self.now, self.stream = 0.0, stream
        whole = logging.StreamHandler(stream)
        whole.addFilter(DefaultFilter(set(), False, False, False, False))
        whole.setFormatter(DefaultFormatter(set(), show_failed_logs=True))
        self.handler = Terminal(whole, lambda: self.now)
        self.logger = logging.Logger("test")
        self.logger.addHandler(self.handler)

    def say(self, text: str, event: LogEvent | None = None, level: int = logging.INFO, **more: object) -> None:
        self.logger.log(level, text, extra={"event": event} | more)

    def plan(self, **stats: int) -> None:
        self.say("Building DAG of jobs...")
        self.say("Provided cores: 2", LogEvent.RESOURCES_INFO, cores=2)
        self.say("Job stats: ...", LogEvent.RUN_INFO, stats=stats | {"total": sum(stats.values())})

    def start(self, jobid: int, rule: str, log: Path | None = None, **wildcards: str) -> None:
        self.say("Select jobs to execute...")
        self.say("Execute 1 jobs...", LogEvent.JOB_STARTED, jobs=[jobid])
        self.say(f"Rule: {rule}", LogEvent.JOB_INFO, jobid=jobid, rule_name=rule, wildcards=wildcards,
                 log=[str(log)] if log else [])  # fmt: skip
        self.say("Shell command: python", LogEvent.SHELLCMD, shellcmd="python")

    def finish(self, jobid: int) -> None:
        self.say(f"Finished jobid: {jobid}", LogEvent.JOB_FINISHED, job_id=jobid)
        self.say("1 of 2 steps", LogEvent.PROGRESS, done=1, total=2)


def test_a_file_has_a_line_per_job_and_now_and_then_how_far_the_long_ones_are(tmp_path: Path, monkeypatch) -> None:
    run = Run(io.StringIO(), monkeypatch)
    log = tmp_path / "mlip.log"
    run.plan(pretrain=1, index_inputs=1, all=1)
    run.start(1, "index_inputs", dataset="rsna")
    run.start(2, "pretrain", log, variant="mlip")
    run.now = 2.0
    run.finish(1)
    for second in range(3, 70):
        run.now = second
        if second == 60:
            log.write_text("warning: 1 of 9 is odd\nstep     20 of 40  1 min 0 s left  loss 3\n")
        run.handler.tick()
    run.now = 71
    run.finish(2)
    run.start(0, "all")
    run.finish(0)
    run.handler.end()
    run.say("Complete log(s): x")
    assert run.stream.getvalue().splitlines() == [
        "2 jobs on 2 cores",
        "[1/2] index_inputs rsna: 2 s",
        "  ... pretrain mlip: 5 s",
        "  ... pretrain mlip: 1 min 5 s, step 20 of 40 1 min 0 s left loss 3",
        "[2/2] pretrain mlip: 1 min 11 s",
        "2 jobs done in 1 min 11 s. What Snakemake says of each: .snakemake/log/",
    ]


def test_a_terminal_shows_running_jobs_below_what_is_done(monkeypatch) -> None:
    run = Run(Screen(), monkeypatch)
    run.plan(pretrain=2, all=1)
    run.start(1, "pretrain", variant="mlip")
    run.start(2, "pretrain", variant="x" * 200)
    run.now = 61.0
    run.handler.tick()
    shown = run.stream.shown()
    assert shown[:2] == ["2 jobs on 2 cores", "  ... pretrain mlip: 1 min 1 s"]
    assert [len(line) for line in shown[2:]] == [79], "a line that wraps could not be taken back"
    run.finish(2)
    assert run.stream.shown() == [
        "2 jobs on 2 cores",
        f"[1/2] pretrain {'x' * 200}: 1 min 1 s",
        "  ... pretrain mlip: 1 min 1 s",
    ]
    run.finish(1)
    assert run.stream.shown()[-1] == "[2/2] pretrain mlip: 1 min 1 s"


def test_an_error_is_shown_whole_with_its_log(tmp_path: Path, monkeypatch) -> None:
    run, log = Run(Screen(), monkeypatch), tmp_path / "mlip.log"
    log.write_text("error: the batch is too large\n")
    run.plan(pretrain=1, all=1)
    run.start(1, "pretrain", log, variant="mlip")
    run.say("Error in rule pretrain", LogEvent.JOB_ERROR, logging.ERROR, jobid=1, rule_name="pretrain", rule_msg=None,
            input=["a"], output=["b"], log=[str(log)], conda_env=None, container_img=None, aux={}, indent=False,
            shellcmd="python -m stages.pretrain")  # fmt: skip
    run.say("a warning", level=logging.WARNING)
    run.say("Trying to restart job 1.")
    shown = run.stream.shown()
    assert shown[1] == "[0/1] pretrain mlip: FAILED after 0 s"
    for line in ("Error in rule pretrain:", "error: the batch is too large", "a warning", "Trying to restart job 1."):
        assert line in shown
    assert "python -m stages.pretrain" in run.stream.getvalue()


def test_only_lines_that_count_are_progress(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert progress_in(None) == progress_in(log) == ""
    for text, said in (
        ("", ""),
        ("x" * 9000 + "\n10 of 1,200 files (1 %, 2.0/s, 3 min left)\n", "10 of 1,200 files (1 %, 2.0/s, 3 min left)"),
        ("warning: 3 of 9 files cannot be read\n", ""),
        ("profile of 5 steps: x\n", ""),
    ):
        log.write_text(text)
        assert progress_in(log) == said


@pytest.mark.parametrize("asked", ["dryrun", "quiet", "verbose", "printshellcmds", "debug_dag", "cluster", "job", ""])
def test_snakemakes_own_lines_stay_where_somebody_asked_for_them(asked: str, monkeypatch) -> None:
    """A dry run, a cluster, a job's own Snakemake, and each option about output."""
    own = logging.StreamHandler(io.StringIO())
    own.name = "DefaultStreamHandler"
    logger = logging.Logger("test")
    logger.addHandler(own)
    monkeypatch.setattr(subject, "logger", logger)
    options = ("dryrun", "quiet", "verbose", "printshellcmds", "debug_dag")
    workflow = SimpleNamespace(
        output_settings=SimpleNamespace(**{each: each == asked for each in options}),
        is_main_process=asked != "job",
        resource_settings=SimpleNamespace(nodes=5 if asked == "cluster" else None),
    )
    found = replace_handler(workflow)
    assert (found is None) == bool(asked)
    assert logger.handlers == [found or own]
    if found:
        found.close()


def test_one_thread_watches_a_run_until_it_is_closed(monkeypatch) -> None:
    own = logging.StreamHandler(io.StringIO())
    own.name = "DefaultStreamHandler"
    logger = logging.Logger("test")
    logger.addHandler(own)
    monkeypatch.setattr(subject, "logger", logger)
    started: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread))
    workflow = SimpleNamespace(
        output_settings=SimpleNamespace(dryrun=False, quiet=None, verbose=False, printshellcmds=False, debug_dag=False),
        is_main_process=True,
        resource_settings=SimpleNamespace(nodes=None),
    )
    found = replace_handler(workflow)
    assert found is not None
    for _ in range(3):  # the first job fails and starts again
        job = {"rule_name": "pretrain", "wildcards": {}, "log": [], "jobid": 1}
        logger.log(logging.INFO, "", extra={"event": LogEvent.JOB_INFO} | job)
        logger.log(logging.ERROR, "", extra={"event": LogEvent.JOB_ERROR} | job)
    assert len(started) == 1
    found.close()
    started[0].run()  # returns at once


def test_what_a_display_cannot_read_is_left_to_snakemake(monkeypatch) -> None:
    """The keys of Snakemake's records are not documented: one that is renamed must not end a run."""
    run = Run(Screen(), monkeypatch)
    run.plan(pretrain=1, all=1)
    run.start(1, "pretrain", variant="mlip")
    said: list[str] = []
    monkeypatch.setattr(run.handler._whole, "emit", lambda record: said.append(record.getMessage()))
    run.say("Rule: retrieval", LogEvent.JOB_INFO)  # has no keys at all
    run.say("Finished jobid: 1", LogEvent.JOB_FINISHED, job_id=1)
    run.handler.tick()
    run.handler.end()
    assert said == ["Rule: retrieval", "Finished jobid: 1"]
    assert run.stream.shown() == ["1 job on 2 cores"], "lines of running jobs must not stay"


def test_a_stream_that_refuses_a_character_ends_no_run(monkeypatch) -> None:
    written = io.BytesIO()
    run = Run(io.TextIOWrapper(written, encoding="ascii", write_through=True), monkeypatch)
    monkeypatch.setattr(logging, "raiseExceptions", False)  # what logging itself says on stderr of such a record
    run.plan(pretrain=1, all=1)
    run.start(1, "pretrain", variant="é")
    run.now = 9.0
    run.handler.tick()
    run.finish(1)
    run.say("a warning", level=logging.WARNING)
    run.handler.end()
    assert written.getvalue().splitlines()[0] == b"1 job on 2 cores"
    assert b"a warning" in written.getvalue()


def test_a_terminal_that_is_closed_ends_no_run(monkeypatch) -> None:
    def broken(_: str) -> int:
        raise BrokenPipeError

    def raising(_: logging.LogRecord) -> None:  # as Snakemake's handler does
        raise BrokenPipeError

    run = Run(Screen(), monkeypatch)
    run.plan(pretrain=1, all=1)
    monkeypatch.setattr(run.stream, "write", broken)
    monkeypatch.setattr(run.handler._whole, "emit", raising)
    run.start(1, "pretrain", variant="mlip")
    run.handler.tick()
    run.finish(1)
    run.handler.end()


def test_an_interrupted_run_leaves_no_line_of_a_running_job(monkeypatch) -> None:
    run = Run(Screen(), monkeypatch)
    run.plan(pretrain=1, all=1)
    run.start(1, "pretrain", variant="mlip")
    assert run.stream.shown() == ["1 job on 2 cores", "  ... pretrain mlip: 0 s"]
    run.handler.close()
    run.handler.tick()
    assert run.stream.shown() == ["1 job on 2 cores"]

"""Progress tells rate and time left in the form that its reader can use, and never harms the work."""

import io
import itertools
import json

import pytest

from stages.common.journal import progress as subject
from stages.common.journal.progress import duration, progress


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(subject, "time", clock)
    monkeypatch.delenv("MLIP_PROGRESS", raising=False)
    return clock


def work(clock, stream, seconds: int, done: int = 0, total: int = 600) -> None:
    """One item a second."""
    with progress("files", total, done, stream) as report:
        for _ in range(seconds):
            clock.now += 1
            report.advance()


def test_a_log_gets_a_line_after_ten_seconds_then_ever_rarer_ones_and_a_last_one(clock):
    stream = io.StringIO()
    work(clock, stream, 3600, total=3600)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "10 of 3,600 files (0 %, 1.00/s, 59 min 50 s left)"
    assert lines[-1] == "3,600 of 3,600 files (100 %, 1.00/s, in 1 h 0 min)"
    written = [int(line.partition(" of ")[0].replace(",", "")) for line in lines[:-1]]  # one file a second
    pauses = [after - before for before, after in itertools.pairwise(written)]
    assert pauses[:4] == [5] * 4
    assert all(5 <= pause <= max(5, 0.2 * time + 1) for time, pause in zip(written, pauses, strict=False))
    assert pauses[-1] == 60
    assert pauses == sorted(pauses)


def test_what_an_earlier_run_did_counts_for_no_rate(clock):
    stream = io.StringIO()
    work(clock, stream, 10, done=290)
    assert stream.getvalue().splitlines()[0] == "300 of 600 files (50 %, 1.00/s, 5 min 0 s left)"


def test_a_terminal_sees_one_line_only(clock):
    stream = Terminal()
    work(clock, stream, 30, total=30)
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("30 of 30 files (100 %, 1.00/s, in 30 s)\n")
    assert text.count("\r\x1b[K") == 31  # rewritten in place


def test_machines_read_json_lines(clock, monkeypatch):
    monkeypatch.setenv("MLIP_PROGRESS", "json")
    stream = Terminal()
    with progress("steps", 100, stream=stream) as report:
        clock.now += 10
        report.at(20, "loss 3.21")
    first, last = map(json.loads, stream.getvalue().splitlines())
    assert first == {"what": "steps", "done": 20, "total": 100, "rate": 2.0, "seconds": 10.0, "seconds_left": 40.0,
                     "note": "loss 3.21"}  # fmt: skip
    assert last["done"] == 20


def test_quick_work_is_silent(clock):
    stream = io.StringIO()
    work(clock, stream, 9)
    assert stream.getvalue() == ""


def test_nothing_done_divides_by_nothing(clock):
    stream = io.StringIO()
    with progress("files", 0, stream=stream) as report:
        clock.now += 10
        report.advance(0)
    assert stream.getvalue().splitlines()[-1] == "0 of 0 files (0.00/min, in 10 s)"


def test_off_is_silent_and_a_closed_stream_stops_no_work(clock, monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setenv("MLIP_PROGRESS", "log")
    work(clock, closed, 20)
    monkeypatch.setenv("MLIP_PROGRESS", "off")
    stream = io.StringIO()
    work(clock, stream, 20)
    assert stream.getvalue() == ""


def test_an_error_goes_on_and_leaves_the_last_state(clock):
    stream = io.StringIO()

    def broken():
        with progress("files", 9, stream=stream) as report:
            clock.now += 10
            report.advance(3)
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        broken()
    assert stream.getvalue().startswith("3 of 9 files")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (273600, "3 d 4 h")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_note_that_is_a_function_is_called_for_printed_lines_alone(clock):
    """It may wait for a GPU."""
    asked, stream = [], io.StringIO()
    with progress("steps", 100, stream=stream) as report:
        for step in range(1, 31):
            clock.now += 1
            report.at(step, lambda step=step: asked.append(step) or f"loss {step}")
    assert asked == [10, 15, 20, 25, 30, 30]  # the last one when it ends
    assert [line.split("  ")[-1] for line in stream.getvalue().splitlines()] == [f"loss {step}" for step in asked]

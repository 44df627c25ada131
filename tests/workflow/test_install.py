"""What `make environment` says while pip works."""

import io
import sys

from workflow.install import run, show

SAID = """Looking in indexes: https://index.example
Collecting numpy==2.0 (from -r local.lock (line 1))
  Downloading numpy-2.0-cp311-cp311-manylinux_2_28_x86_64.whl.metadata (60 kB)
Processing ./wheels/torch-2.13.0-cp311-none-any.whl (from -r local.lock (line 2))
Downloading numpy-2.0-cp311-cp311-manylinux_2_28_x86_64.whl (18.5 MB)
Using cached six-1.17.0-py2.py3-none-any.whl (500 kB)
Installing collected packages: numpy, torch
Successfully installed numpy-2.0 torch-2.13.0
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_says_at_intervals_how_far_it_is() -> None:
    seconds = iter(range(0, 1000, 6))
    stream = io.StringIO()
    assert "".join(show(SAID.splitlines(keepends=True), 3, stream, lambda: next(seconds))) == SAID
    lines = [line.strip() for line in stream.getvalue().splitlines()]
    assert lines[0] == "1 of 3 packages found: numpy"
    assert "everything is fetched; unpacking takes a minute or two" in lines
    assert lines[-1].startswith("done in ")
    assert len(lines) == len(set(lines))


def test_a_terminal_has_one_line_with_what_was_fetched() -> None:
    seconds = iter(range(1000))
    stream = Terminal()
    show(SAID.splitlines(keepends=True), 3, stream, lambda: next(seconds))
    written = [part.rstrip() for part in stream.getvalue().split("\r\x1b[K")]
    assert "      2 of 3 packages found: torch-2.13.0-cp311-none-any.whl" in written
    assert "      18 MB fetched: numpy" in written
    assert "      19 MB fetched: six" in written
    assert stream.getvalue().count("\n") == 1


def test_where_pip_fails_all_that_it_said_is_printed() -> None:
    stream = io.StringIO()
    program = "print('ERROR: no matching distribution for x'); raise SystemExit(3)"
    assert run([sys.executable, "-c", program], 3, stream) == 3
    assert stream.getvalue().endswith("ERROR: no matching distribution for x\n")

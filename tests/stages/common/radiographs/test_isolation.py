"""Child processes: order, death, lateness, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest

from stages.common.radiographs.isolation import Limits, map_isolated

SLEEP, PATIENCE = 600, 120.0  # s: for what must be cut off; for what must not, however busy the machine


def children_of(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def work(item: object) -> object:
    """Runs in a child: a number is squared, a word is obeyed."""
    if item == "abort":
        os.abort()
    if item == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "raise":
        raise KeyboardInterrupt
    if item == "sleep":
        time.sleep(SLEEP)
    if item == "nap":
        time.sleep(3)
        return "awake"
    if item == "compute":
        while True:
            pass
    return item * item


@pytest.mark.parametrize("children", [1, 2])
def test_results_come_in_order_and_losses_stay_where_they_happened(children):
    items = [1, 2, "abort", 3, "kill", "raise", 4]
    before = children_of(os.getpid())  # of other tests in this process
    assert list(map_isolated(work, items, children, Limits(PATIENCE))) == [1, 4, "died", 9, "died", "died", 16]
    assert set(children_of(os.getpid())) <= set(before)


def test_a_late_item_is_lost_and_the_rest_goes_on():
    started = time.monotonic()
    assert list(map_isolated(work, [5, "sleep", 6], 1, Limits(PATIENCE, clock_seconds=3.0))) == [25, "too slow", 36]
    assert time.monotonic() - started < SLEEP / 2


def test_the_limit_is_processor_time_and_not_the_clock():
    """A busy machine is one where an item waits: it takes three seconds and computes none."""
    items = ["nap", "compute", 6, "nap"]
    assert list(map_isolated(work, items, 1, Limits(0.5, clock_seconds=PATIENCE))) == ["awake", "too slow", 36, "awake"]
    assert Limits(30.0).by_the_clock == 600


def test_many_items_and_none():
    assert list(map_isolated(work, range(300), 2, Limits(PATIENCE))) == [i * i for i in range(300)]
    assert list(map_isolated(work, [], 2, Limits(PATIENCE))) == []


def test_children_end_with_the_iteration():
    before = children_of(os.getpid())
    assert list(islice(map_isolated(work, range(1000), 2, Limits(PATIENCE)), 3)) == [0, 1, 4]
    assert set(children_of(os.getpid())) <= set(before)


def test_a_script_without_a_main_guard_runs_once(tmp_path):
    """Children import the function's module from the parent's path, and never the script."""
    (tmp_path / "squares.py").write_text("def square(item):\n    return item * item\n")
    (tmp_path / "script.py").write_text(
        "import sys\n"
        "sys.path[:0] = sys.argv[1:]\n"
        "print('runs', __name__)\n"
        "from squares import square\n"
        "from stages.common.radiographs.isolation import Limits, map_isolated\n"
        "print(list(map_isolated(square, [2, 3], 2, Limits(20.0))))\n"
    )
    command = [sys.executable, tmp_path / "script.py", str(Path.cwd())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert (done.stdout.splitlines(), done.stderr) == (["runs __main__", "[4, 9]"], "")

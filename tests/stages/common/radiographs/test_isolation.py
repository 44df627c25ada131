"""Child processes: order, death, lateness, and nothing left behind."""

import multiprocessing
import os
import signal
import time
from itertools import islice

import pytest

from stages.common.radiographs.isolation import Limits, map_isolated

SLEEP, PATIENCE = 600, 120.0  # s: for what must be cut off; for what must not, however busy the machine


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
    return item * item


@pytest.mark.parametrize("children", [1, 2])
def test_results_come_in_order_and_losses_stay_where_they_happened(children):
    items = [1, 2, "abort", 3, "kill", "raise", 4]
    assert list(map_isolated(work, items, children, Limits(PATIENCE))) == [1, 4, "died", 9, "died", "died", 16]
    assert multiprocessing.active_children() == []


def test_a_late_item_is_lost_and_the_rest_goes_on():
    started = time.monotonic()
    assert list(map_isolated(work, [5, "sleep", 6], 1, Limits(3.0))) == [25, "too slow", 36]
    assert time.monotonic() - started < SLEEP / 2


def test_many_items_and_none():
    assert list(map_isolated(work, range(300), 2, Limits(PATIENCE))) == [i * i for i in range(300)]
    assert list(map_isolated(work, [], 2, Limits(PATIENCE))) == []


def test_children_end_with_the_iteration():
    assert list(islice(map_isolated(work, range(1000), 2, Limits(PATIENCE)), 3)) == [0, 1, 4]
    assert multiprocessing.active_children() == []

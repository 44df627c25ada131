"""Calls that wait side by side: answers in order, and nothing begins after a failure."""

import threading
import time

import pytest

from stages.sync.calls import CALLS_AT_ONCE, calls_at_once, side_by_side


def test_a_server_is_asked_side_by_side_and_sqlite_is_not() -> None:
    assert calls_at_once("sqlite:////w/mlflow.db") == 1
    assert calls_at_once("https://mlflow.example.org") == calls_at_once("postgresql://db/mlflow") == CALLS_AT_ONCE


@pytest.mark.parametrize("at_once", [1, 4])
def test_answers_come_in_the_order_of_the_calls(at_once: int) -> None:
    assert side_by_side(lambda one, other: one - other, [(number, 1) for number in range(50)], at_once) == [
        *range(-1, 49)
    ]
    assert side_by_side(abs, [], at_once) == []


@pytest.mark.parametrize("at_once", [1, 4])
def test_nothing_begins_after_a_failure(at_once: int) -> None:
    begun, together = [], threading.Barrier(at_once)

    def work(number: int) -> None:
        begun.append(number)
        if number < at_once:
            together.wait(60)
            raise OSError(f"call {number}")
        time.sleep(0.01)  # the one who waits for the answers may be slow to notice

    with pytest.raises(OSError, match="call 0"):
        side_by_side(work, [(number,) for number in range(1000)], at_once)
    assert len(begun) < 1000

"""Calls that wait side by side: answers in order, and nothing begins after a failure."""

import threading
import time

import pytest

from stages.sync.calls import CALLS_AT_ONCE, FirstAlone, calls_at_once, side_by_side


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

    with pytest.raises(OSError, match="call 0"):
        side_by_side(work, [(number,) for number in range(1000)], at_once)
    assert len(begun) < 1000


def test_the_first_call_that_names_a_thing_ends_before_others_that_name_it() -> None:
    """`a` and `b` are made by one call each; `c` and `d` at the same time; what was made is named by all at once."""
    alone, made, busy = FirstAlone(), set[str](), list[str]()
    together = {name: threading.Barrier(2) for name in ("cd", "a")}

    def call(*names: str) -> None:
        with alone.of(names):
            assert not set(busy) & set(names), "another call is making one of these"
            new = set(names) - made
            busy.extend(new)
            if new & {"c", "d"}:
                together["cd"].wait(60)
            time.sleep(0.01)
            made.update(new)
            for name in new:
                busy.remove(name)

    def name_again() -> None:
        with alone.of(["a"]):
            together["a"].wait(60)

    side_by_side(call, [*20 * [("a", "b"), ("b", "a"), ("a", "a")], ("c",), ("d",)], 8)
    assert made == {*"abcd"}
    side_by_side(name_again, [(), ()], 2)


def test_calls_that_waited_for_one_that_failed_fail_with_it() -> None:
    alone, begun, together = FirstAlone(), list[int](), threading.Barrier(4)

    def call(number: int) -> None:
        together.wait(60)
        with alone.of("a"):
            begun.append(number)
            raise OSError("no answer")

    with pytest.raises(OSError, match="no answer"):
        side_by_side(call, [(number,) for number in range(4)], 4)
    assert len(begun) == 1

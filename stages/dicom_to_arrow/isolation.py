"""A function over many items in child processes, since a codec can do worse than raise: abort, crash, never return.

A child that dies or takes too long costs the item that it had, not the run. The order and the values of the results do
not depend on the number of children.
"""

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Generic, Literal, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Lost = Literal["died", "too slow"]

_AHEAD = 64  # results kept in memory while an earlier one is awaited


class _Child(Generic[Item, Result]):
    """A process that serves one item at a time."""

    def __init__(self, function: Callable[[Item], Result]) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the locks of Arrow's and OpenCV's threads
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, function), daemon=True)
        self.process.start()
        other.close()
        self.place: int | None = None  # of the item that it works on
        self.deadline = 0.0

    def send(self, place: int, item: Item, seconds: float) -> None:
        self.connection.send(item)
        self.place, self.deadline = place, time.monotonic() + seconds

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def map_isolated(
    function: Callable[[Item], Result], items: Sequence[Item], children: int, seconds: float
) -> Iterator[Result | Lost]:
    """`function` of each item, in order; "died" or "too slow" (over `seconds`) in place of a result that was lost.

    `function` and the items must be picklable; an exception of `function` counts as a death.
    """
    waiting, done, next_place = deque(enumerate(items)), {}, 0
    pool = [_Child(function) for _ in range(min(max(children, 1), len(items)))]
    try:
        for child in pool:
            child.connection.recv()  # started and imported: that time is not the first item's
        while next_place < len(items):
            for child in pool:
                if child.place is None and waiting and waiting[0][0] < next_place + _AHEAD:
                    child.send(*waiting.popleft(), seconds)
            for number, child in enumerate(pool):
                if child.place is not None and (result := _result_of(child)) is not None:
                    done[child.place], child.place = result[0], None
                    if result[0] in ("died", "too slow"):
                        child.stop()
                        pool[number] = _Child(function)
                        pool[number].connection.recv()
            while next_place in done:
                yield done.pop(next_place)
                next_place += 1
            _pause(pool)
    finally:
        for child in pool:
            child.stop()


def _result_of(child: _Child[Item, Result]) -> tuple[Result | Lost] | None:
    """What a busy child has brought, in a tuple; None while it works."""
    try:
        if child.connection.poll():
            return (child.connection.recv(),)
    except (EOFError, OSError):
        return ("died",)
    return ("too slow",) if time.monotonic() > child.deadline else None


def _pause(pool: list[_Child[Item, Result]]) -> None:
    """Until a busy child has something or is late."""
    busy = [child for child in pool if child.place is not None]
    if busy:
        wait([child.connection for child in busy], max(0, min(child.deadline for child in busy) - time.monotonic()))


def _serve(connection: Connection, function: Callable[[Item], Result]) -> None:
    """In the child: items in, results out, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops its children
    connection.send("ready")
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        connection.send(function(item))

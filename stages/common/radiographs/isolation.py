"""Run a function over many items in child processes, because a codec can abort, crash or never return.

A child that dies or takes too long costs only its current item, not the run. The order and the values of the results do
not depend on the number of children. What a child prints is dropped, because libraries quote the file that they
complain about.

A child is a fresh interpreter that never runs the parent's main script, unlike those of multiprocessing: a script of
three lines needs no `__main__` guard. The function must therefore come from a module, not from the main script.
"""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Generic, Literal, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Lost = Literal["died", "too slow"]

_AHEAD = 64  # results kept in memory while an earlier one is awaited
_CLOCK = 20.0  # seconds by the clock per second of processor time
_GRACE = 5.0  # s until a late child ends itself, since its parent may have been killed
# The program of a child. The module search path comes first, so that `_serve` can be unpickled by its module's name.
_PROGRAM = """
import sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
sys.path[:] = connection.recv()
serve, function, limits = connection.recv()
serve(connection, function, limits)
"""


@dataclass(frozen=True)
class Limits:
    """Limits on one item.

    Time is the child's processor time, so that a busy machine loses nothing. The clock only ends a child that waits
    for ever.
    """

    seconds: float  # of processor time, of all threads together
    memory_bytes: int | None = None  # resident memory of the child, imports included; enforced on Linux only
    clock_seconds: float | None = None  # None: 20 times as many

    @property
    def by_the_clock(self) -> float:
        """Return the seconds after which an item is lost however little was computed."""
        return _CLOCK * self.seconds if self.clock_seconds is None else self.clock_seconds


class _Child(Generic[Item, Result]):
    """A process that serves one item at a time."""

    def __init__(self, function: Callable[[Item], Result], limits: Limits) -> None:
        self.connection, other = multiprocessing.Pipe()
        with other:  # no fork, which would copy the locks of Arrow's and OpenCV's threads
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, str(other.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
            )
        self.connection.send(sys.path)
        self.connection.send((_serve, function, limits))
        self.limits = limits
        self.place: int | None = None  # position of the item that it works on
        self.deadline = 0.0

    def send(self, place: int, item: Item) -> None:
        self.place, self.deadline = place, time.monotonic() + self.limits.by_the_clock
        with suppress(OSError):  # died between two items: `_result_of` sees it, and this item is lost
            self.connection.send(item)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()


def map_isolated(
    function: Callable[[Item], Result], items: Sequence[Item], children: int, limits: Limits
) -> Iterator[Result | Lost]:
    """Yield `function` of each item, in order, with "died" or "too slow" in place of a lost result.

    `function` and the items must be picklable; an exception of `function` counts as a death. Memory beyond the limit is
    refused: Python raises MemoryError, and C code reacts in its own way.
    """
    waiting, done, next_place = deque(enumerate(items)), {}, 0
    pool = [_Child(function, limits) for _ in range(min(max(children, 1), len(items)))]
    try:
        for child in pool:
            child.connection.recv()  # it has started and imported: that time is not the first item's
        while next_place < len(items):
            for child in pool:
                if child.place is None and waiting and waiting[0][0] < next_place + _AHEAD:
                    child.send(*waiting.popleft())
            for number, child in enumerate(pool):
                if child.place is not None and (result := _result_of(child)) is not None:
                    done[child.place], child.place = result[0], None
                    if result[0] in ("died", "too slow"):
                        child.stop()
                        pool[number] = _Child(function, limits)
                        pool[number].connection.recv()
            while next_place in done:
                yield done.pop(next_place)
                next_place += 1
            _pause(pool)
    finally:
        for child in pool:
            child.stop()


def _result_of(child: _Child[Item, Result]) -> tuple[Result | Lost] | None:
    """Return the result of a busy child in a tuple; None while it works."""
    try:
        if child.connection.poll():
            return (child.connection.recv(),)
    except (EOFError, OSError):
        return ("too slow" if child.process.wait() == -signal.SIGPROF else "died",)
    return ("too slow",) if time.monotonic() > child.deadline else None


def _pause(pool: list[_Child[Item, Result]]) -> None:
    """Wait until a busy child has a result or is late."""
    busy = [child for child in pool if child.place is not None]
    if busy:
        wait([child.connection for child in busy], max(0, min(child.deadline for child in busy) - time.monotonic()))


def _serve(connection: Connection, function: Callable[[Item], Result], limits: Limits) -> None:
    """Run in the child: receive items and send results until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops its children
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)  # a parent that ignores them would pass that on
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    if limits.memory_bytes is not None:
        _limit_memory(limits.memory_bytes)
    connection.send("ready")
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        # Both signals end the process, even inside C code: SIGPROF after the processor time, SIGALRM by the clock.
        signal.setitimer(signal.ITIMER_PROF, limits.seconds)
        signal.setitimer(signal.ITIMER_REAL, limits.by_the_clock + _GRACE)
        result = function(item)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(result)


def _limit_memory(max_bytes: int) -> None:
    """Limit the growth of private memory to `max_bytes` minus what is resident now (man 2 setrlimit, RLIMIT_DATA).

    RLIMIT_AS would be wrong: address space that is only reserved, as by threads and libraries, costs nothing.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    resident, data = (1024 * int(fields[name].split()[0]) for name in ("VmRSS", "VmData"))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = data + max(0, max_bytes - resident)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

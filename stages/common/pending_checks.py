"""Checks of large inputs that run in the background, and are awaited before any output gets its name.

The shards of MIMIC-CXR have 25 GB: to read them all before the first image is used would cost every job a minute or
more. So their checksums are taken while work begins, by a few threads (hashing leaves the interpreter free), which also
brings them into the page cache in order. `atomic_path` awaits them before it renames: a flipped bit is still an error
before a result is there, and not after.
"""

import os
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Event, Thread

_THREADS = 4  # of hashing at most; each does about 1.2 GB/s


class _Check:
    def __init__(self, check: Callable[[], object]) -> None:
        self.check, self.done = check, Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.check()
        except BaseException as error:  # raised again where it is awaited
            self.error = error
        finally:
            self.done.set()


_pending: list[_Check] = []


def check_in_background(checks: list[Callable[[], object]]) -> None:
    """Start `checks`; what one of them raises is raised by the next `settle`."""
    waiting: SimpleQueue[_Check] = SimpleQueue()
    begun = [_Check(check) for check in checks]
    for check in begun:
        waiting.put(check)
    _pending.extend(begun)
    for _ in range(min(_THREADS, len(begun), max(1, len(os.sched_getaffinity(0)) // 2))):
        Thread(target=_work, args=(waiting,), daemon=True).start()  # a job that fails does not wait for it


def settle() -> None:
    """Wait for every check that was begun, and raise the first error of them; once, so that a failure can be told."""
    begun = _pending.copy()
    for check in begun:
        check.done.wait()
    _pending[:] = [check for check in _pending if check not in begun]
    for check in begun:
        if check.error is not None:
            raise check.error


def _work(waiting: SimpleQueue[_Check]) -> None:
    while True:
        try:
            check = waiting.get_nowait()
        except Empty:
            return
        check.run()


os.register_at_fork(after_in_child=_pending.clear)  # threads stay behind; the parent awaits them

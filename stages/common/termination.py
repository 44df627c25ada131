"""SIGTERM as an exception, so that a journal says why its run ended."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(SystemExit):
    """SIGTERM: a time limit, a preemption, or a person. The exit status is that of a killed process."""

    def __str__(self) -> str:
        return "SIGTERM, from the scheduler or a person"


@contextmanager
def sigterm_as_exception() -> Iterator[None]:
    """SIGTERM ends a run by an exception, so that its journal says so; a handler that is there already stays."""
    process = os.getpid()

    def raise_terminated(number: int, _: FrameType | None) -> None:
        if os.getpid() != process:  # a forked child keeps no journal
            os._exit(128 + number)
        raise Terminated(128 + number)

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, raise_terminated)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

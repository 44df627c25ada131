"""Wait for a condition instead of for a time: the one way in which tests wait for a thread or another process."""

import time
from collections.abc import Callable

SECONDS = 300.0  # a busy machine is slow; what never comes is an error


def eventually(condition: Callable[[], object], seconds_between: float = 0.01) -> None:
    """Return as soon as `condition` holds; fail if it does not within `SECONDS`."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(seconds_between)

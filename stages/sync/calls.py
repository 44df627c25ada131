"""Calls to the store that wait for it side by side: a server may take a second for each, and a run needs ten."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

from .options import SQLITE

CALLS_AT_ONCE = 16  # to a server

Answer = TypeVar("Answer")
Arguments = TypeVarTuple("Arguments")


def calls_at_once(uri: str) -> int:
    """Return how many calls may wait for a store at a time: SQLite lets one write."""
    return 1 if uri.startswith(SQLITE) else CALLS_AT_ONCE


def side_by_side(
    work: Callable[[*Arguments], Answer], calls: Iterable[tuple[*Arguments]], at_once: int
) -> list[Answer]:
    """Return the answer to each call, in order; after a failure nothing that has not begun begins."""
    if at_once == 1:
        return [work(*call) for call in calls]
    with ThreadPoolExecutor(at_once) as pool:
        answers = [pool.submit(work, *call) for call in calls]
        try:
            return [answer.result() for answer in answers]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise

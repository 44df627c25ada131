"""Calls to the store that wait for it side by side: a server may take a second for each, and a run needs ten."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Lock
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


class FirstAlone:
    """Lets the first call that names a thing end before others that name it: a server would make it twice, and fail."""

    def __init__(self) -> None:
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)
        self._made: set[str] = set()
        self._failure: BaseException | None = None

    @contextmanager
    def of(self, names: Iterable[str]) -> Iterator[None]:
        """Wait for the calls under way that are the first to name any of these. Raises what another call raised."""
        new = []
        with ExitStack() as held:
            for name in sorted(set(names) - self._made):  # in one order, so that no two calls wait for each other
                with ExitStack() as waiting:
                    waiting.enter_context(self._locks[name])
                    if name not in self._made:  # meanwhile
                        new.append(name)
                        held.push(waiting.pop_all())
            if self._failure is not None:  # what waited for it would fail, too, one after the other
                raise self._failure
            try:
                yield
            except BaseException as error:
                self._failure = error
                raise
            self._made.update(new)

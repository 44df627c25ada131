"""Batches of the next steps, drawn by a thread while the device computes."""

import queue
import threading
import time
from types import TracebackType

from stages.pretrain.batches import DrawnBatch, TrainingData

_AHEAD = 2  # batches: one being copied, one being drawn
_SECONDS_BETWEEN_LOOKS = 0.1


class Prefetcher:
    """Yields the batch of `first`, `first` + 1, ... below `total`; what `TrainingData.draw` raises is raised here.

    A thread and not processes: gathering and drawing hold Python's lock for a small part of a step, and the memory
    maps are shared. `pin` puts batches into page-locked memory, from which a GPU copies while it computes; PyTorch
    keeps such a buffer until its copy is over, and uses it again then.
    """

    def __init__(self, data: TrainingData, first: int, total: int, pin: bool = False) -> None:
        self.stalled = 0.0  # seconds that the consumer has waited
        self._data, self._steps, self._pin = data, range(first, total), pin
        self._ready: queue.Queue[DrawnBatch | BaseException] = queue.Queue(maxsize=_AHEAD)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="prefetch", daemon=True)

    def __enter__(self) -> "Prefetcher":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def next(self) -> DrawnBatch:
        """The batch of the next step, waited for."""
        started = time.monotonic()
        drawn = self._ready.get()
        self.stalled += time.monotonic() - started
        if isinstance(drawn, BaseException):
            raise drawn
        return drawn

    def _draw(self) -> None:
        for step in self._steps:
            try:
                drawn = self._data.draw(step)
                offered = drawn.pinned() if self._pin else drawn
            except BaseException as error:  # whatever it is, the training loop is told
                offered = error
            while not self._ended.is_set():
                try:
                    self._ready.put(offered, timeout=_SECONDS_BETWEEN_LOOKS)
                except queue.Full:
                    continue
                break
            if self._ended.is_set() or isinstance(offered, BaseException):
                return

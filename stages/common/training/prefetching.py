"""Batches drawn ahead by a thread, and moved to a GPU by one copy that the CPU does not wait for.

A batch of pre-training has more than a dozen tensors, and a copy of each costs a launch. So the tensors of a batch lie
in one buffer, of which they are views. The buffer is page-locked, so that the GPU copies while the CPU computes.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from types import TracebackType
from typing import Generic, TypeVar

import torch
from jaxtyping import UInt8
from torch import Tensor

from ..encoders.report_batches import map_tensors

_ALIGNMENT = 64  # bytes; more than any kernel asks for
_AHEAD = 2  # batches: one being copied, one being drawn
_SECONDS_BETWEEN_LOOKS = 0.1

Batch = TypeVar("Batch")  # data classes and tuples of tensors


def pack(value: Batch, pin: bool) -> tuple[Batch, UInt8[Tensor, "bytes"]]:
    """Return `value`, data classes and tuples of tensors, with its tensors in one buffer, and that buffer."""
    tensors: list[Tensor] = []

    def noted(tensor: Tensor) -> Tensor:
        tensors.append(tensor)
        return tensor

    map_tensors(value, noted)
    sizes = [tensor.numel() * tensor.element_size() for tensor in tensors]
    ends = list(accumulate(-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes))
    buffer = torch.empty(ends[-1], dtype=torch.uint8, pin_memory=pin)
    parts = iter(buffer[start : start + size] for start, size in zip([0, *ends], sizes, strict=False))
    return map_tensors(value, lambda tensor: _shaped(next(parts), tensor).copy_(tensor)), buffer


def move(value: Batch, buffer: UInt8[Tensor, "bytes"], device: torch.device) -> Batch:
    """Return what `pack` returned, on `device`: one copy of the buffer, and views of it."""
    there = buffer.to(device, non_blocking=True)

    def view(tensor: Tensor) -> Tensor:
        start = tensor.storage_offset() * tensor.element_size()
        return _shaped(there[start : start + tensor.numel() * tensor.element_size()], tensor)

    return map_tensors(value, view)


def _shaped(part: UInt8[Tensor, "bytes"], like: Tensor) -> Tensor:
    return part.view(like.dtype).view(like.shape)


@dataclass(frozen=True)
class DrawnBatch(Generic[Batch]):
    """A batch on the CPU; its tensors may be views of one buffer."""

    batch: Batch
    buffer: UInt8[Tensor, "bytes"] | None = None

    @classmethod
    def bound_for(cls, device: torch.device, batch: Batch) -> "DrawnBatch[Batch]":
        """Return a batch that is to move to `device`: for a GPU in a page-locked buffer."""
        return cls(*pack(batch, pin=True)) if device.type == "cuda" else cls(batch)

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on `device`: of a buffer, by a single copy."""
        if self.buffer is None:
            return map_tensors(self.batch, lambda tensor: tensor.to(device, non_blocking=True))
        return move(self.batch, self.buffer, device)


class Prefetcher(Generic[Batch]):
    """Iterator over the batches `draw(number)` of `numbers`, drawn ahead by a thread.

    An error of `draw` is raised by `next`. A thread is used and not processes: gathering and drawing hold Python's lock
    for a small part of a step, and the memory maps are shared. Batches bound for a GPU lie in page-locked memory;
    PyTorch keeps such a buffer until its copy is finished, and then reuses it.
    """

    def __init__(self, draw: Callable[[int], Batch], numbers: range, device: torch.device) -> None:
        self.stalled = 0.0  # seconds that the consumer has waited
        self._draw, self._numbers, self._device = draw, numbers, device
        self._ready: queue.Queue[DrawnBatch[Batch] | BaseException] = queue.Queue(maxsize=_AHEAD)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)

    def __enter__(self) -> "Prefetcher[Batch]":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def __iter__(self) -> Iterator[DrawnBatch[Batch]]:
        """Yield all batches in turn."""
        return (self.next() for _ in self._numbers)

    def next(self) -> DrawnBatch[Batch]:
        """Return the next batch; wait until it is drawn."""
        started = time.monotonic()
        drawn = self._ready.get()
        self.stalled += time.monotonic() - started
        if isinstance(drawn, BaseException):
            raise drawn
        return drawn

    def _run(self) -> None:
        for number in self._numbers:
            offered: DrawnBatch[Batch] | BaseException
            try:
                offered = DrawnBatch.bound_for(self._device, self._draw(number))
            except BaseException as error:  # the consumer gets it, whatever it is
                offered = error
            while not self._ended.is_set():
                try:
                    self._ready.put(offered, timeout=_SECONDS_BETWEEN_LOOKS)
                except queue.Full:
                    continue
                break
            if self._ended.is_set() or isinstance(offered, BaseException):
                return


def drawn_ahead(draw: Callable[[int], Batch], numbers: range, device: torch.device) -> Iterator[Batch]:
    """Yield the batches `draw(number)` of `numbers` on `device`, drawn ahead by a thread."""
    with Prefetcher(draw, numbers, device) as batches:
        for drawn in batches:
            yield drawn.to(device)

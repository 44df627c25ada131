"""Tensors of a batch in one buffer, so that one copy moves all of them to a GPU.

A batch has some fifty small tensors, and a copy of each costs a launch. Views of the buffer have the tensors' types and
shapes; the buffer is page-locked, so that the GPU copies while the CPU computes.
"""

from itertools import accumulate
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from ..common.encoders.report_batches import map_tensors

_ALIGNMENT = 64  # bytes; more than any kernel asks for


def pack(value: Any, pin: bool) -> tuple[Any, UInt8[Tensor, "bytes"]]:
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


def move(value: Any, buffer: UInt8[Tensor, "bytes"], device: torch.device) -> Any:
    """Return what `pack` returned, on `device`: one copy of the buffer, and views of it."""
    there = buffer.to(device, non_blocking=True)

    def view(tensor: Tensor) -> Tensor:
        start = tensor.storage_offset() * tensor.element_size()
        return _shaped(there[start : start + tensor.numel() * tensor.element_size()], tensor)

    return map_tensors(value, view)


def _shaped(part: UInt8[Tensor, "bytes"], like: Tensor) -> Tensor:
    return part.view(like.dtype).view(like.shape)

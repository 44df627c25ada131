"""A packed batch is the same batch, in one buffer, and one copy moves it."""

from collections import Counter
from dataclasses import dataclass

import torch
from planted_pairs import data, small
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stages.common.encoders.report_batches import map_tensors
from stages.common.training.prefetching import DrawnBatch, move, pack


@dataclass(frozen=True)
class Parts:
    name: str
    first: Tensor
    more: tuple[Tensor, ...]


def tensors_of(value) -> list[Tensor]:
    found: list[Tensor] = []
    map_tensors(value, lambda tensor: found.append(tensor) or tensor)
    return found


class Copies(TorchDispatchMode):
    """Count the operators that bring a tensor to another device."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device, self.count = device, Counter()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        before = [each for each in arguments if isinstance(each, Tensor)]
        if isinstance(result, Tensor) and result.device.type == self.device and before:
            self.count[function.__name__] += before[0].device.type != self.device
        return result


def test_every_kind_of_tensor_comes_back() -> None:
    whole = torch.arange(12.0).view(3, 4)
    value = Parts("x", whole[:, 1:3], (torch.tensor([True, False, True]), torch.empty(0, 5), torch.tensor(7),
                                       torch.randint(0, 255, (3, 5), dtype=torch.uint8)))  # fmt: skip
    packed, buffer = pack(value, pin=False)
    moved = move(packed, buffer, torch.device("cpu"))
    for before, own, after in zip(tensors_of(value), tensors_of(packed), tensors_of(moved), strict=True):
        assert own.dtype == after.dtype == before.dtype
        assert torch.equal(own, before)
        assert torch.equal(after, before)
        assert own.untyped_storage().data_ptr() == buffer.untyped_storage().data_ptr()
        assert own.storage_offset() * own.element_size() % 64 == 0
    assert packed.name == "x"


def test_a_batch_is_moved_by_one_copy() -> None:
    """The device `meta` computes nothing, and tells copies as any other does."""
    drawn = data(small()).draw(0)
    packed, buffer = pack(drawn, pin=False)
    for before, after in zip(tensors_of(drawn), tensors_of(packed), strict=True):
        assert torch.equal(before, after)
    with Copies("meta") as copies:
        moved = DrawnBatch(packed, buffer).to(torch.device("meta"))
    assert copies.count.total() == 1
    assert [(each.shape, each.dtype) for each in tensors_of(moved)] == [
        (each.shape, each.dtype) for each in tensors_of(drawn)
    ]
    with Copies("meta") as copies:
        DrawnBatch(drawn).to(torch.device("meta"))
    assert copies.count.total() == len(tensors_of(drawn)) > 10

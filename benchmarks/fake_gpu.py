"""A GPU that is not there: fake CUDA tensors run forward and backward in a PyTorch that was built for the CPU.

FakeTensorMode works out shapes, types and devices, and computes no value. Autograd moreover asks two C++ objects about
CUDA, which a build for the CPU lacks: a device guard, which names streams and events, and the hooks, which say whether
there is CUDA at all. `install` puts both in place. They are copies of the virtual tables of existing objects, with a
few entries replaced, so this is for the pinned version of PyTorch on x86-64 Linux and for processes that do nothing
else. `tests/stages/pretrain/test_gpu_step.py` shows that it counts what a real device would be told to do.
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _foreach_utils
from torch.utils.checkpoint import DefaultDeviceType

_VERSION = "2.13."
_CUDA = 1  # c10::DeviceType
# Entries of c10::impl::DeviceGuardImplInterface: its type, the current device and stream; two about events.
_DEVICES, _RECORD, _BLOCK = (0, 1, 2, 5, 6), 12, 13
_GUARD_ENTRIES, _HOOK_ENTRIES = 40, 100  # at least as many as there are
_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
_kept: list[Any] = []  # what C++ points to must never be freed


def install() -> None:
    """Make autograd believe in a CUDA device. Raises RuntimeError where this is not known to work."""
    if torch.version.cuda or not torch.__version__.startswith(_VERSION) or platform.machine() != "x86_64":
        raise RuntimeError(f"needs PyTorch {_VERSION}* for the CPU on x86-64, this is {torch.__version__}")
    libraries = Path(torch.__file__).parent / "lib"
    core, cpu = (ctypes.CDLL(str(libraries / name)) for name in ("libc10.so", "libtorch_cpu.so"))
    guards = (ctypes.c_void_p * 21).in_dll(core, "_ZN3c104impl26device_guard_impl_registryE")
    events = {_RECORD: _returning(0), _BLOCK: _returning(0)}  # which the CPU's guard refuses
    device = {entry: _returning(_CUDA) for entry in _DEVICES}  # cuda:0 is this number, too
    plain = guards[0] or 0
    guards[0] = _object(_copied(plain, _GUARD_ENTRIES, events))
    guards[_CUDA] = _object(_copied(plain, _GUARD_ENTRIES, events | device))
    cpu._ZN2at6detail12getCUDAHooksEv.restype = ctypes.c_void_p
    hooks = ctypes.c_void_p.from_address(cpu._ZN2at6detail12getCUDAHooksEv())
    asked: list[int] = []
    recording = {number: _returning(0, number, asked) for number in range(_HOOK_ENTRIES)}
    hooks.value = ctypes.addressof(_table(recording))
    torch._C._accelerator_getAccelerator()  # asks whether there is CUDA: so we learn that entry's number
    hooks.value = ctypes.addressof(_table(recording | {asked[0]: _returning(1)}))
    DefaultDeviceType.set_device_type("cuda")  # else it asks Python, which knows that there is none


def _returning(value: int, number: int = 0, asked: list[int] | None = None) -> int:
    """Return the address of a function that returns `value`, and notes that it was called."""

    def called(_this: int) -> int:
        if asked is not None:
            asked.append(number)
        return value

    function = _FUNCTION(called)
    _kept.append(function)
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _table(entries: dict[int, int]) -> ctypes.Array:
    table = (ctypes.c_void_p * (max(entries) + 1))(*(entries[number] for number in range(max(entries) + 1)))
    _kept.append(table)
    return table


def _copied(instance: int, count: int, changed: dict[int, int]) -> ctypes.Array:
    """Return a copy of the virtual table of a C++ object, with some entries changed."""
    table = ctypes.c_void_p.from_address(instance).value
    found = (ctypes.c_void_p * count).from_address(table or 0)
    return _table({number: found[number] or 0 for number in range(count)} | changed)


def _object(table: ctypes.Array) -> int:
    """Return the address of a C++ object that has nothing but a virtual table."""
    instance = (ctypes.c_void_p * 4)(ctypes.addressof(table))
    _kept.append(instance)
    return ctypes.addressof(instance)


class Event:
    """Stand in for torch.cuda.Event where a step is queued."""

    def record(self) -> None:
        """Do nothing: there is no stream."""

    def synchronize(self) -> None:
        """Do nothing: the work is done."""


def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None,
) -> Tensor:  # fmt: skip
    """Attend as PyTorch chooses on a GPU: flash attention without a mask in half precision, else memory-efficient."""
    if attn_mask is None and query.dtype in (torch.bfloat16, torch.float16):
        flash = torch.ops.aten._scaled_dot_product_flash_attention
        return flash(query, key, value, dropout_p, is_causal, False, scale=scale)[0]
    if attn_mask is not None:
        attn_mask = torch.zeros(attn_mask.shape, dtype=query.dtype, device=query.device).masked_fill(~attn_mask, -1e9)
        attn_mask = attn_mask.expand(*query.shape[:3], key.shape[2])
    efficient = torch.ops.aten._scaled_dot_product_efficient_attention
    return efficient(query, key, value, attn_mask, True, dropout_p, is_causal, scale=scale)[0]


@contextmanager
def pretended(capability: tuple[int, int] = (9, 0)) -> Iterator[FakeTensorMode]:
    """Yield the mode in which CUDA tensors are fake; `capability` is that of the pretended GPU."""
    with (
        mock.patch("torch.cuda.get_device_capability", return_value=capability),
        mock.patch("torch.cuda.is_bf16_supported", return_value=capability >= (8, 0)),
        mock.patch("torch.cuda.amp.common.amp_definitely_not_available", return_value=False),
        mock.patch("torch.cuda.Event", Event),
        mock.patch("torch.nn.functional.scaled_dot_product_attention", _attention),
        mock.patch.object(
            _foreach_utils, "_foreach_supported_types", [*_foreach_utils._foreach_supported_types, FakeTensor]
        ),
        FakeTensorMode(allow_non_fake_inputs=True) as mode,
    ):
        yield mode

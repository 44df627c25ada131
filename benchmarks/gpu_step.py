"""Count one step of pre-training on a GPU, without a GPU: kernels, waits, copies, operations, bytes, memory.

    python -m benchmarks.gpu_step [--batches 64 256] [--context report] [--output FILE]

The step that `stages.pretrain` runs (forward, backward, clipping, AdamW), in bf16 and in the default setting, on fake
CUDA tensors (fake_gpu.py): nothing is computed, but every operation is dispatched, so a tensor on the wrong device and
a look at a value show. The second step is counted, since the first one makes the optimiser's moments.

Counted: an operation that is no view is a kernel; of those on lists of tensors, one per 30 tensors or 20 MB. A wait is
a value that Python reads from the device. Memory is that of live tensors, without the allocator's and the libraries'.

The time is computed from the counts, never measured: a kernel takes the longest of 2 us, its bytes at 75 % of the
card's bandwidth, and its operations at 65 % of the card's peak; the CPU needs 5 us to launch one and 20 us for a wait.
"""

import argparse
import json
import math
import os
import traceback
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks import fake_gpu
from benchmarks.pretrain_step import SIZES, STORED, VOCABULARY, Noise, settings_of, studies
from stages.common.device_peaks import peak_of
from stages.common.encoders.report_batches import SpecialTokens
from stages.common.training.prefetching import DrawnBatch, pack
from stages.pretrain import objective, sinkhorn, training
from stages.pretrain.batches import TrainingData
from stages.pretrain.optimisation import adamw
from stages.pretrain.throughput import StepFlops
from stages.pretrain.training import Place, build
from stages.pretrain.training_state import TrainingState

# Names of the cards: bandwidth in bytes/s and memory in bytes (vendors' data sheets); peaks are in device_peaks.py.
CARDS = {"H200": (4.8e12, 141e9), "H100": (3.35e12, 80e9), "A100": (2.0e12, 80e9), "RTX 4090": (1.01e12, 24e9)}
LAUNCH, WAIT, SHORTEST = 5e-6, 20e-6, 2e-6  # seconds
OF_BANDWIDTH, OF_PEAK = 0.75, 0.65
ITERATIONS = 14  # of the solver in the default setting, measured on a CPU (docs/benchmarks/method.md)
OVERHEAD = 2e9  # bytes that the context, cuBLAS and the allocator take; an estimate
GIB = 2**30
CUDA = torch.device("cuda", 0)

_VIEWS = """
    device empty empty_like new_empty empty_strided new_empty_strided detach alias lift_fresh view _unsafe_view expand
    permute transpose t unsqueeze squeeze select slice as_strided split split_with_sizes unbind _reshape_alias diagonal
    unfold is_same_size sym_size
"""
_NO_KERNEL = set(_VIEWS.split())
_LOOKS = {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "_local_scalar_dense"}


class Part:
    """Counts of one part of the step."""

    def __init__(self) -> None:
        self.kernels = self.waits = self.to_device = self.to_host = 0
        self.kernel_costs: list[tuple[float, float, bool, int]] = []  # bytes, operations, in bf16, launches

    def seconds(self, card: str) -> float:
        """Return the computed time of its kernels on a card."""
        return sum(kernel_seconds(cost, card) for cost in self.kernel_costs)


def kernel_seconds(cost: tuple[float, float, bool, int], card: str) -> float:
    """Return the computed time of one entry of `Part.kernel_costs`."""
    moved, operations, half, launches = cost
    peak = peak_of(f"NVIDIA {card}", "bf16" if half else "fp32") or math.inf
    return max(SHORTEST * launches, moved / (CARDS[card][0] * OF_BANDWIDTH), operations / (peak * OF_PEAK))


class Count(TorchDispatchMode):
    """Counts what is dispatched to the device, by part of the step."""

    def __init__(self, parts: "Parts", attention_operations: float) -> None:
        super().__init__()
        self.parts: dict[str, Part] = defaultdict(Part)
        self.order: list[tuple[float, float, bool, int] | None] = []  # costs in order; None is a wait
        self.read: Counter[str] = Counter()  # where values were read
        self.live = self.peak = 0
        self._parts, self._attention = parts, attention_operations
        self._seen: set[int] = set()

    def begin(self) -> None:
        """Forget what was counted; what is live stays."""
        self.parts.clear()
        self.order.clear()
        self.read.clear()
        self.peak = self.live

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Count an operation and run it."""
        kwargs = kwargs or {}
        name = func._schema.name.split("::")[1]
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        there = any(each.is_cuda for each in given)
        part = self.parts[self._parts.current()]
        if there and (name in _LOOKS or (name.startswith("index") and any(_is_mask(each) for each in given[1:]))):
            part.waits += 1
            self.order.append(None)
            self.read[_caller()] += 1
        if name == "_local_scalar_dense":
            return _answer(given[0])
        found = func(*args, **kwargs)
        made = [each for each in tree_leaves(found) if isinstance(each, Tensor)]
        if there or any(each.is_cuda for each in made):
            self._count(part, func, name, args, kwargs, given, made, found)
        return found

    def _count(
        self, part: Part, func: Any, name: str, args: tuple, kwargs: dict, given: list[Tensor], made: list[Tensor],
        found: Any,
    ) -> None:  # fmt: skip
        for each in made:
            self._follow(each)
        if name in _NO_KERNEL:
            return
        if name in ("_to_copy", "copy_"):
            source = given[-1]
            part.to_device += made[0].is_cuda and not source.is_cuda
            part.to_host += source.is_cuda and not made[0].is_cuda
        moved = float(sum(each.numel() * each.element_size() for each in [*given, *made] if each.is_cuda))
        launches = 1
        if name.startswith(("_foreach", "_fused_adam")):
            launches = max(math.ceil(len(args[0]) / 30), math.ceil(sum(each.numel() for each in args[0]) / 2e7))
        packet = func._overloadpacket
        operations = float(flop_registry[packet](*args, **kwargs, out_val=found)) if packet in flop_registry else 0.0
        if "_varlen_attn" in name:
            operations = self._attention * (2.5 if "backward" in name else 1)
        half = any(each.dtype == torch.bfloat16 for each in given)
        part.kernels += launches
        part.kernel_costs.append((moved, operations, half, launches))
        self.order.append(part.kernel_costs[-1])

    def _follow(self, tensor: Tensor) -> None:
        """Add a new storage on the device to the live bytes until it is freed."""
        storage = tensor.untyped_storage()
        if not tensor.is_cuda or storage._cdata in self._seen:
            return
        self._seen.add(storage._cdata)
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())

    def _freed(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.live -= size

    def seconds(self, card: str) -> float:
        """Return the computed time of the step: the CPU launches ahead, until it waits for the device."""
        cpu = gpu = 0.0
        for cost in self.order:
            if cost is None:
                cpu = max(cpu, gpu) + WAIT
            else:
                cpu += LAUNCH * cost[3]
                gpu = max(gpu, cpu) + kernel_seconds(cost, card)
        return max(cpu, gpu)


def _is_mask(tensor: Tensor) -> bool:
    return tensor.dtype == torch.bool


def _caller() -> str:
    """Return the innermost line of the stages or of transformers that led here."""
    for frame in reversed(traceback.extract_stack()):
        if "/stages/" in frame.filename or "/transformers/" in frame.filename:
            return f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
    return "PyTorch"


def _answer(tensor: Tensor) -> bool | float:
    """Return what Python reads from a fake tensor.

    The solver asks whether a pair has not converged; all do after `ITERATIONS`. For a small epsilon it asks before
    whether costs differ little; they do not. Any other look at the device fails, since its answer would decide what
    runs.
    """
    if not tensor.is_cuda:
        return 0.5  # the norm, which was copied
    for frame, _ in traceback.walk_stack(None):
        if frame.f_code is sinkhorn.solve.__code__:
            return False
        pace = frame.f_locals.get("self")
        if isinstance(pace, sinkhorn._Pace):
            return pace.iterations < ITERATIONS
    raise RuntimeError(f"a value is read from the device at {_caller()}")


class Parts:
    """Which part of the step an operation belongs to, in its backward pass, too."""

    def __init__(self) -> None:
        self._now = "rest"
        self._intervals: list[tuple[int, int, str]] = []

    def current(self) -> str:
        """Return the part that is running."""
        node = torch._C._current_autograd_node()
        if node is None:
            return self._now
        number = node._sequence_nr()
        return next((name for low, high, name in self._intervals if low <= number < high), "rest")

    def of(self, function: Callable, name: str) -> Callable:
        """Return `function`, whose operations and whose gradient's belong to `name`."""

        def run(*args: Any, **kwargs: Any) -> Any:
            before, self._now, low = self._now, name, torch.autograd._get_sequence_nr()
            try:
                return function(*args, **kwargs)
            finally:
                self._now = before
                self._intervals.append((low, torch.autograd._get_sequence_nr(), name))

        return run


PARTS: list[tuple[Any, str, str]] = [
    (objective.DualEncoder, "embed_text", "text"),
    (objective.DualEncoder, "patch_tokens", "image"),
    (objective, "grouped_scores", "transport"),
    (objective.Objective, "_reconstruction_loss", "reconstruction"),
    (training, "update", "update"),
]


def on_device(model: nn.Module) -> None:
    """Replace parameters and buffers in place by fake ones on the device."""
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                made = torch.empty(weight.shape, dtype=weight.dtype, device=CUDA)
                module._parameters[name] = nn.Parameter(made, weight.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=CUDA)


def count(batch: int, context: str = "report", **changes: Any) -> dict[str, Any]:
    """Count a step at a batch size; `changes` are settings of pre-training."""
    model_settings = SIZES["base"]["model"]
    block = model_settings | {"text": model_settings["text"] | {"context": context}}
    optimisation = {"precision": "bf16", "epochs": 100} | changes.pop("optimisation", {})
    settings = settings_of("base", batch, model=block, optimisation=optimisation, **changes)
    data = TrainingData(settings, Noise(STORED["base"]), studies(2 * batch), SpecialTokens(2, 3))
    model = build(settings, VOCABULARY).train()
    flops = StepFlops(model)
    drawn = [pack(data.draw(step), pin=False) for step in range(2)]
    lengths = torch.cat([stream.starts.diff() for stream in drawn[1][0].reports.streams]).double()
    parts = Parts()
    counter = Count(parts, 4 * float(lengths.square().sum()) * model.encoder.text.width)
    with fake_gpu.pretended() as mode, ExitStack() as named:
        for owner, method, name in PARTS:
            named.enter_context(mock.patch.object(owner, method, parts.of(getattr(owner, method), name)))
        on_device(model)
        counter.live = sum(weight.numel() * weight.element_size() for weight in model.parameters())
        state = TrainingState(model, adamw(model, settings))
        place = Place(Path(), math.inf, CUDA)
        first, second = (DrawnBatch(each, mode.from_tensor(buffer)) for each, buffer in drawn)
        with counter:
            queued = training._step(state, model, [first], data, settings, place)
            counter.begin()
            training._step(state, model, [second], data, settings, place)
            queued.check(place.state, write=False)  # as the training loop does, after the next step is queued
    return _record(counter, batch, flops.of(drawn[1][0]))


def _record(counter: Count, batch: int, useful: int) -> dict[str, Any]:
    table = {}
    for name, part in counter.parts.items():
        table[name] = {"kernels": part.kernels, "waits": part.waits, "to_device": part.to_device,
                       "to_host": part.to_host, "TFLOP": sum(cost[1] for cost in part.kernel_costs) / 1e12,
                       "GB": sum(cost[0] for cost in part.kernel_costs) / 1e9,
                       "H200 ms": 1e3 * part.seconds("H200")}  # fmt: skip
    total = {key: sum(row[key] for row in table.values()) for key in next(iter(table.values()))}
    cards = {}
    for card in CARDS:
        seconds = counter.seconds(card)
        peak = peak_of(f"NVIDIA {card}", "bf16") or math.inf
        cards[card] = {"step ms": 1e3 * seconds, "pairs/s": batch / seconds, "MFU %": 100 * useful / seconds / peak}
    return {"batch": batch, "parts": table, "all": total, "cards": cards, "peak GiB": counter.peak / GIB,
            "read at": dict(counter.read)}  # fmt: skip


def pairs_that_fit(found: list[dict[str, Any]]) -> dict[str, int]:
    """Return the largest batch per card, in steps of 8, by the memory of the smallest and the largest counted one."""
    (few, low), (many, high) = ((each["batch"], each["peak GiB"] * GIB) for each in (found[0], found[-1]))
    per_pair = (high - low) / (many - few)
    room = {card: memory - OVERHEAD - (low - few * per_pair) for card, (_, memory) in CARDS.items()}
    return {card: int(left / per_pair) // 8 * 8 for card, left in room.items()}


def print_table(rows: dict[str, dict[str, float]]) -> None:
    """Print rows of numbers as Markdown."""
    columns = list(next(iter(rows.values())))
    print("| | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[key]:,.0f}" if row[key] >= 100 or row[key] == int(row[key])
                                          else f"{row[key]:.3g}" for key in columns) + " |")  # fmt: skip


def main() -> None:
    """Count steps, print tables, and leave without the clean-up of a C++ library that was deceived."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--batches", type=int, nargs="+", default=[256])
    options.add_argument("--context", choices=("report", "sentences"), default="report")
    options.add_argument("--settings", type=json.loads, default={}, help="further settings of pretrain, as JSON")
    options.add_argument("--output", type=Path)
    given = options.parse_args()
    fake_gpu.install()
    found = [count(batch, given.context, **given.settings) for batch in given.batches]
    for each in found:
        print(f"\n{each['batch']} pairs, context {given.context}: peak {each['peak GiB']:.1f} GiB; "
              f"values read at {each['read at']}\n")  # fmt: skip
        print_table(each["parts"] | {"all": each["all"]})
        print()
        print_table(each["cards"])
    if len(found) > 1:
        print("\npairs that fit: " + ", ".join(f"{card} {pairs}" for card, pairs in pairs_that_fit(found).items()))
    if given.output:
        given.output.write_text(json.dumps(found, indent=1))
    os._exit(0)


if __name__ == "__main__":
    main()

"""Performance of a training: speed, floating-point operations, profile and hardware.

Operations of a step (encoders/operations.py) are the work that the objective asks for, of visible patches and real word
pieces. Padding, recomputation (`micro_batch`) and transport are left out, so that waste never flatters the share of the
device's peak (MFU). Frozen layers have no backward pass.
"""

import os
import platform
import re
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, schedule

from ..common.device import possible_precision
from ..common.device_peaks import peak_of
from ..common.encoders.operations import FORWARD_AND_BACKWARD, Transformer, product
from ..common.encoders.text import TextEncoder
from ..common.errors import InputError, first_line
from ..common.files.atomic_files import atomic_path, write_text
from ..common.journal.progress import duration
from .batches import TrainingBatch
from .contract import OptimisationSettings, PretrainSettings
from .objective import Objective
from .ranks import Ranks


class SpeedMeter:
    """Numbers of the steps since the last look.

    Times are right on a GPU, too: the numbers of a step that is logged are read before, which waits for the device.
    """

    def __init__(self, device: torch.device, precision: str, ranks: int) -> None:
        self._device, self._ranks = device, ranks
        self._peak = peak_of(torch.cuda.get_device_name(device), precision) if device.type == "cuda" else None
        self._start(0.0)

    def _start(self, stalled: float) -> None:
        self._started, self._stalled_before = time.monotonic(), stalled
        self._steps = self._pairs = self._flops = 0

    def count(self, pairs: int, flops: int) -> None:
        """Count one more step: pairs of the global batch, operations of this rank's share."""
        self._steps += 1
        self._pairs += pairs
        self._flops += flops

    def look(self, stalled: float, steps_left: int) -> dict[str, float]:
        """Return the numbers and start anew.

        `stalled` is the time waited for data since the training began, in seconds.
        """
        seconds = max(time.monotonic() - self._started, 1e-9)
        values = {
            "speed/pairs_per_second": self._pairs / seconds,
            "speed/loader_stall_share": (stalled - self._stalled_before) / seconds,
            "speed/tflop_per_second": self._flops * self._ranks / seconds / 1e12,
            "speed/seconds_left": steps_left * seconds / max(self._steps, 1),
            "memory/peak_bytes": float(peak_memory(self._device)),
        }
        if self._peak is not None:
            values["speed/mfu"] = self._flops / seconds / self._peak
        self._start(stalled)
        return values


def peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes: of tensors on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def out_of_memory_explained(settings: OptimisationSettings, world: int) -> Iterator[None]:
    """Turn PyTorch's error of a batch that a GPU cannot hold into an InputError that names the keys."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        held = min(settings.batch_size // world, settings.micro_batch or settings.batch_size)
        missing = re.search(r"Tried to allocate [^.]*(?:\.\d+)? [KMG]iB", str(error))
        total = re.search(r"total capacity of ([\d.]+ [KMG]iB)(?: of which ([\d.]+ [KMG]iB) is free)?", str(error))
        said = [missing[0].replace("Tried to allocate", "it asks for") if missing else ""]
        said += [f"{total[2] or 'nothing'} of {total[1]} is free" if total else ""]
        keys = [f"set optimisation.micro_batch: {held // 2}"] if held > 1 else []
        keys += [] if settings.recompute else ["set optimisation.recompute: true"]
        if settings.batch_size > world:
            keys += ["use more GPUs"]
        pairs = "1 pair" if held == 1 else f"{held} pairs"
        raise InputError(
            f"optimisation.batch_size {settings.batch_size}: the GPU cannot hold {pairs} at once "
            f"({', where '.join(filter(None, said)) or first_line(error)})",
            remedy=f"{', or '.join(keys or ['choose a smaller model'])}",
        ) from error


def progress_line(step: int, total: int, values: dict[str, float]) -> str:
    """Return a line for people who watch: losses, speed, time left."""
    mfu = f"  MFU {values['speed/mfu']:.0%}" if "speed/mfu" in values else ""
    left = duration(values["speed/seconds_left"])
    return (
        f"step {step:6d} of {total}  {left} left  loss {values['loss/total']:.4f}  "
        f"contrastive {values['loss/contrastive']:.4f}  {values['speed/pairs_per_second']:.0f} pairs/s  "
        f"loader stall {values['speed/loader_stall_share']:.0%}{mfu}  "
        f"peak {values['memory/peak_bytes'] / 2**30:.1f} GiB"
    )


class StepFlops:
    """Operations of the steps of one model, on the rows of one rank."""

    def __init__(self, model: Objective) -> None:
        vit, decoder = model.encoder.image.vit, model.decoder
        image = model.settings.model.image
        hidden = len(vit.get_parameter("blocks.0.mlp.fc1.weight"))
        self._image = Transformer(vit.embed_dim, hidden, len(vit.blocks))
        self._prefix, self._patches, self._pixels = vit.num_prefix_tokens, image.patches, image.patch_size**2
        self._decoder, self._predicted = None, 0
        if decoder is not None:
            self._predicted = decoder.predict.out_features  # pixels of a patch of the target
            width = decoder.embed.out_features
            self._decoder = Transformer(width, 4 * width, len(decoder.blocks))
        self._embedding = model.encoder.image_projection.out_features
        self._text = _text_layers(model.encoder.text)
        trained = model.encoder.text.bert.named_parameters()
        self._frozen = len({name.split(".layer.")[1].split(".")[0] for name, parameter in trained
                            if ".layer." in name and not parameter.requires_grad})  # fmt: skip

    def image_forward(self, visible: int) -> int:
        """Return the operations of one image: all patches embedded, `visible` of them through the layers."""
        embedded = product(self._patches, self._pixels, self._image.width)
        return embedded + self._image.forward(visible + self._prefix)

    def text_forward(self, tokens: int, layers: int | None = None) -> int:
        """Return the operations of one sequence through `layers` (all) layers of the text encoder."""
        return self._text.forward(tokens, layers)

    def decoder_forward(self, visible: int) -> int:
        """Return the operations of one image through the decoder of masked patches; 0 where there is none of either."""
        if self._decoder is None or visible == self._patches:
            return 0
        width = self._decoder.width
        ends = product(visible, self._image.width, width) + product(self._patches, width, self._predicted)
        return ends + self._decoder.forward(self._patches)

    def of(self, batch: TrainingBatch) -> int:
        """Return the operations of the forward and backward pass of this rank's rows."""
        own, visible = len(batch.pixels), batch.visible.shape[1]
        projected = product(visible + 1, self._image.width, self._embedding)
        image = own * (self.image_forward(visible) + self.decoder_forward(visible) + projected)
        lengths = [length for stream in batch.reports.streams for length in stream.starts.diff().tolist()]
        sentences = int(batch.sentence_mask.sum()) * own // len(batch.visible)
        text = product(own + sentences, self._text.width, self._embedding) + sum(map(self.text_forward, lengths))
        frozen = sum(self.text_forward(length, self._frozen) for length in lengths)
        return FORWARD_AND_BACKWARD * (image + text) - (FORWARD_AND_BACKWARD - 1) * frozen


def _text_layers(encoder: TextEncoder) -> Transformer:
    """Return the dimensions of a BERT-like model of transformers."""
    config = encoder.bert.config
    hidden = getattr(config, "intermediate_size", None) or getattr(config, "hidden_dim", 4 * config.hidden_size)
    return Transformer(config.hidden_size, hidden, config.num_hidden_layers)


PARTS = ("waiting for data", "to the device", "forward", "backward", "update")  # named by `record_function`
_WARM_UP = 2  # steps: first calls allocate
_ROWS = 30


def step_profiler(folder: Path, steps: int, device: torch.device) -> profile:
    """Return a profiler that counts steps; after `steps` of them it writes table.txt and trace.json (for Perfetto)."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])

    def write(found: profile) -> None:
        write_text(folder / "table.txt", _table(found, steps, device))
        with atomic_path(folder / "trace.json") as temporary:
            found.export_chrome_trace(str(temporary))
        print(f"profile of {steps} steps: {folder}/table.txt, {folder}/trace.json", file=sys.stderr)

    plan = schedule(wait=0, warmup=_WARM_UP, active=steps, repeat=1)
    return profile(activities=activities, schedule=plan, on_trace_ready=write)


def _table(found: profile, steps: int, device: torch.device) -> str:
    """Return the step's parts, then the operations that take most time."""
    averages = found.key_averages()
    times = {row.key: row for row in averages}
    lines = [f"{steps} steps on {device.type}; ms per step, CPU clock", ""]
    for part in PARTS:
        if part in times:
            lines.append(f"{part:20} {times[part].cpu_time_total / 1e3 / steps:10.2f}")
    key = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    return "\n".join(lines) + "\n\n" + averages.table(sort_by=key, row_limit=_ROWS) + "\n"


def hardware_tags(device: torch.device) -> dict[str, str]:
    """Return versions, the device, and the share of it that this process may use."""
    tags = {name: sys.modules[name].__version__ for name in ("torch", "timm", "transformers")}  # of the objective
    tags |= {"device": device.type, "cpu": _cpu_name(), "cpu_cores": str(len(os.sched_getaffinity(0)))}
    tags |= {"threads": str(torch.get_num_threads())}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        tags |= {"gpu": properties.name, "gpu_bytes": str(properties.total_memory), "cuda": str(torch.version.cuda)}
        tags |= {"cudnn": str(torch.backends.cudnn.version())}
    return tags


def with_possible_precision(settings: PretrainSettings, device: torch.device, ranks: Ranks) -> PretrainSettings:
    """Return the settings, with fp32 instead of bf16 on a GPU that would only emulate it; rank 0 says so."""
    precision = possible_precision(settings.optimisation.precision, device, say=ranks.first)
    optimisation = settings.optimisation.model_copy(update={"precision": precision})
    return settings.model_copy(update={"optimisation": optimisation})


def make_deterministic() -> None:
    """Allow only algorithms that give the same bits each time; PyTorch raises RuntimeError where there is none.

    Call it before the first use of a GPU, since cuBLAS reads its variable then.
    """
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def reason_not_to_compile(settings: OptimisationSettings, device: torch.device) -> str | None:
    """Return why a training on `device` runs without torch.compile; None: it is compiled.

    Raises InputError where `compiled: true` cannot be met.
    """
    if not settings.compiled:
        return "switched off"
    if settings.compiled == "auto" and device.type != "cuda":
        return f"auto compiles on a GPU, and this is a {device.type}"
    if settings.compiled == "auto" and settings.deterministic:
        return "deterministic, and the compiler may choose kernels by their measured time"
    obstacle = _compiler_failure(device)
    if obstacle and settings.compiled is True:
        raise InputError(
            f"pretrain.optimisation.compiled: torch.compile does not work here: {obstacle}",
            remedy="set it to auto or false; `make doctor` looks for a C compiler in the image",
        )
    return obstacle


def _compiler_failure(device: torch.device) -> str | None:
    """Return why a small function and its backward pass cannot be compiled and run on `device`; None: they can.

    A trial knows more than a look at PATH: a GPU too old for Triton, missing headers, a cache that cannot be written.
    """

    def product_with_sine(values: Tensor) -> Tensor:
        return (values * values.sin()).sum()

    try:
        torch.compile(product_with_sine, dynamic=False)(torch.ones(8, device=device, requires_grad=True)).backward()
    except Exception as error:  # compilers, drivers and subprocesses fail in many types
        return first_line(error)
    return None


def compile_static_parts(model: Objective, *, or_run_uncompiled: bool = False) -> None:
    """Compile in place, by torch.compile, the blocks that always see the same shapes; names of weights stay.

    Blocks of one size share their code, which is compiled once. Reports differ in length, so the text encoder would be
    compiled again and again. With `or_run_uncompiled`, a block that cannot be compiled runs as it is: PyTorch warns.
    """
    torch._dynamo.config.suppress_errors = or_run_uncompiled
    # By default a backward pass is compiled at its first use, where no error is suppressed.
    torch._functorch.config.force_non_lazy_backward_lowering = or_run_uncompiled
    for part in (model.encoder.image.vit, model.decoder):
        for block in part.blocks if part is not None else ():
            block.compile(dynamic=False)


def _cpu_name() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(names, platform.machine())
    except OSError:
        return platform.machine()

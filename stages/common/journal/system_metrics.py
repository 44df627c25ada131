"""System metrics of a stage: CPU cores, memory and GPU use. Cores and memory come from /proc, so only on Linux."""

import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_QUERY = "index,utilization.gpu,memory.used,power.draw"
_GPU_KEYS = ("utilization_percentage", "memory_usage_megabytes", "power_usage_watts")


@dataclass(frozen=True)
class _Usage:
    cpu_seconds: float
    resident_bytes: int


class SystemSampler:
    """Sampler of this process and its descendants; the first sample is the baseline of the cores in use."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._time, self._usage = time.monotonic(), _usage(proc, os.getpid())

    def sample(self) -> dict[str, float]:
        """Return the CPU cores in use since the last sample, resident megabytes, and nvidia-smi's figures of the GPUs.

        Only GPUs in use are listed. Keys begin with `system/`, because MLflow shows those on a page of their own.
        """
        now, usage = time.monotonic(), _usage(self._proc, os.getpid())
        values = {}
        if usage and self._usage and now > self._time:
            busy = (usage.cpu_seconds - self._usage.cpu_seconds) / (now - self._time)
            values = {"system/cpu_cores": round(max(busy, 0.0), 3),
                      "system/memory_megabytes": round(usage.resident_bytes / 1e6, 1)}  # fmt: skip
        self._time, self._usage = now, usage
        return values | _gpus()


def _usage(proc: Path, root: int) -> _Usage | None:
    """Return the usage of a process tree, or None where `root` cannot be read.

    The kernel adds the time of ended children to their parents.
    """
    ticks, pages = 0, 0
    for process in _tree(proc, root):
        try:
            # The fields after the name in brackets, which may hold blanks: from field 3 of proc(5) on.
            fields = (proc / str(process) / "stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(each) for each in fields[11:15])  # utime, stime, cutime, cstime
            pages += int(fields[21])
        except (OSError, IndexError, ValueError):
            if process == root:
                return None
    return _Usage(ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE"))


def _tree(proc: Path, root: int) -> Iterator[int]:
    waiting = [root]
    while waiting:
        process = waiting.pop()
        yield process
        with suppress(OSError):
            for task in (proc / str(process) / "task").iterdir():
                with suppress(OSError):  # a thread that has just ended
                    waiting += [int(child) for child in (task / "children").read_text().split()]


def _gpus() -> dict[str, float]:
    """Return what nvidia-smi reports of each GPU in use.

    Returns nothing where the stage has no GPU: neither allotted by a scheduler nor opened by torch.
    """
    torch = sys.modules.get("torch")
    in_use = torch is not None and torch.cuda.is_initialized()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "" if not in_use else None)
    tool = shutil.which("nvidia-smi")
    if tool is None or visible in ("", "-1", "NoDevFiles"):
        return {}
    command = [
        tool,
        f"--query-gpu={_QUERY}",
        "--format=csv,noheader,nounits",
        *([f"--id={visible}"] if visible else []),
    ]
    try:
        text = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    values = {}
    for index, *numbers in csv.reader(text.splitlines(), skipinitialspace=True):
        for key, number in zip(_GPU_KEYS, numbers, strict=False):
            with suppress(ValueError):  # "[N/A]"
                values[f"system/gpu_{index}_{key}"] = float(number)
    return values

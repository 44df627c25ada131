"""Where the time of a step goes: a table and a trace of a few steps (`--profile N`)."""

import sys
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from stages.common.atomic_files import atomic_path, write_text

PARTS = ("waiting for data", "to the device", "forward", "backward", "update")  # named by `record_function`
_WARM_UP = 2  # steps: first calls allocate
_ROWS = 30


def step_profiler(folder: Path, steps: int, device: torch.device) -> profile:
    """A profiler to be told of every step; after `steps` of them it writes table.txt and trace.json (for Perfetto)."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])

    def write(found: profile) -> None:
        write_text(folder / "table.txt", _table(found, steps, device))
        with atomic_path(folder / "trace.json") as temporary:
            found.export_chrome_trace(str(temporary))
        print(f"profile of {steps} steps: {folder}/table.txt, {folder}/trace.json", file=sys.stderr)

    plan = schedule(wait=0, warmup=_WARM_UP, active=steps, repeat=1)
    return profile(activities=activities, schedule=plan, on_trace_ready=write)


def _table(found: profile, steps: int, device: torch.device) -> str:
    """The step's parts, then the operations that take most."""
    averages = found.key_averages()
    times = {row.key: row for row in averages}
    lines = [f"{steps} steps on {device.type}; ms a step, on the CPU's clock", ""]
    for part in PARTS:
        if part in times:
            lines.append(f"{part:20} {times[part].cpu_time_total / 1e3 / steps:10.2f}")
    key = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    return "\n".join(lines) + "\n\n" + averages.table(sort_by=key, row_limit=_ROWS) + "\n"

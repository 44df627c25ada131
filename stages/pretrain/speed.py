"""How fast a training runs and what holds it up: pairs a second, waiting for data, share of the peak, memory."""

import resource
import time

import torch

from stages.common.device_peaks import peak_of


class SpeedMeter:
    """Numbers of the steps since the last look. Times are right on a GPU, too: each step ends by reading its gradient's
    norm, which waits for the device."""

    def __init__(self, device: torch.device, precision: str, ranks: int) -> None:
        self._device, self._ranks = device, ranks
        self._peak = peak_of(torch.cuda.get_device_name(device), precision) if device.type == "cuda" else None
        self._start(0.0)

    def _start(self, stalled: float) -> None:
        self._started, self._stalled_before = time.monotonic(), stalled
        self._steps = self._pairs = self._flops = 0

    def count(self, pairs: int, flops: int) -> None:
        """One more step: pairs of the global batch, operations of this rank's share."""
        self._steps += 1
        self._pairs += pairs
        self._flops += flops

    def look(self, stalled: float, steps_left: int) -> dict[str, float]:
        """The numbers, and a new start. `stalled` is the time waited for data since the training began, s."""
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
    """Bytes: the most that tensors held on a GPU; on a CPU the most that the process held."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def progress_line(step: int, total: int, values: dict[str, float]) -> str:
    """What a person watches: losses, speed, what is left."""
    hours, minutes = divmod(round(values["speed/seconds_left"] / 60), 60)
    mfu = f"  MFU {values['speed/mfu']:.0%}" if "speed/mfu" in values else ""
    return (
        f"step {step:6d} of {total}  loss {values['loss/total']:.4f}  contrastive {values['loss/contrastive']:.4f}  "
        f"{values['speed/pairs_per_second']:.0f} pairs/s  loader stall {values['speed/loader_stall_share']:.0%}{mfu}"
        f"  peak {values['memory/peak_bytes'] / 2**30:.1f} GiB  left {hours}:{minutes:02d} h"
    )

"""The benchmark table costs.yaml, and numbers with a range."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from stages.common.device_peaks import peak_of
from stages.common.errors import InputError

TABLE = Path(__file__).with_name("costs.yaml")


@dataclass(frozen=True)
class Range:
    """A number and the interval in which it may lie; `low` is the cheap end."""

    typical: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def __add__(self, other: "Range") -> "Range":
        return Range(self.typical + other.typical, self.low + other.low, self.high + other.high)

    def __mul__(self, factor: float) -> "Range":
        return Range(self.typical * factor, self.low * factor, self.high * factor)

    def at_least(self, other: "Range") -> "Range":
        """Return the larger one, end by end."""
        return Range(*(max(pair) for pair in zip(self.ends, other.ends, strict=True)))

    @property
    def ends(self) -> tuple[float, float, float]:
        """Return typical, low and high."""
        return self.typical, self.low, self.high


@dataclass(frozen=True)
class Costs:
    """Contents of costs.yaml."""

    hardware: str
    stages: dict[str, dict[str, Any]]
    devices: dict[str, dict[str, Any]]
    disk_bytes_per_second: dict[str, float]
    scheduler_seconds: dict[str, float]

    def unit_seconds(self, key: str) -> Range:
        """Return the core-seconds of a unit of work."""
        entry = self.stages[key]
        return Range(entry["seconds"], entry["low"], entry["high"])

    def start(self, key: str) -> Range:
        """Return the seconds before the first unit: from a third to three times the measured value."""
        seconds = self.stages[key]["start"]
        return Range(seconds, seconds / 3, seconds * 3)

    def files(self, key: str) -> int:
        """Return the files and folders that a job leaves in the workspace."""
        return int(self.stages[key]["files"])

    def seconds_an_operation(self, device: str, fp32: bool) -> Range:
        """Return the seconds of the device (of one core, for `cpu`) per operation."""
        entry = self.devices[device]
        if device == "cpu":
            return Range(*(1 / float(entry[key]) for key in ("operations", "low", "high")))
        peak = _peak(device, "fp32" if fp32 else "bf16")
        return Range(*(1 / (peak * entry[key]) for key in ("share", "low", "high")))

    def speed_of(self, device: str) -> str:
        """Return in words where the speed of a device comes from."""
        entry = self.devices[device]
        if device == "cpu":
            return entry["source"]
        half, single = _peak(device, "bf16"), _peak(device, "fp32")
        share = f"{entry['share']} [{entry['high']}, {entry['low']}]"
        return f"{share} of {half / 1e12:g}e12 operations a second in bf16, {single / 1e12:g}e12 in fp32"

    def reading(self, size: float) -> Range:
        """Return the seconds that one job needs to read `size` bytes."""
        return Range(*(size / self.disk_bytes_per_second[key] for key in ("typical", "low", "high")))


def _peak(device: str, precision: str) -> float:
    peak = peak_of(device.upper(), precision)
    if peak is None:
        raise InputError(f"{TABLE}: devices.{device}: its peak is unknown", "add it to stages/common/device_peaks.py")
    return peak


@cache
def costs() -> Costs:
    """Read costs.yaml."""
    return Costs(**yaml.safe_load(TABLE.read_text(encoding="utf-8")))

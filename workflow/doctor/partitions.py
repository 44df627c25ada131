"""The partitions of a cluster as sinfo lists them, with the limits of their largest nodes."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Partition:
    """One partition; limits are of its largest node. None: no limit."""

    name: str
    default: bool
    up: bool
    minutes: int | None
    gpus: int
    memory_mb: int
    models: frozenset[str] = frozenset()  # of its GPUs, as sinfo names them


def partitions(text: str) -> dict[str, Partition]:
    """Parse partitions from `sinfo --format=%P|%a|%l|%G|%m`, which has a line for each kind of node.

    Other lines, as of a site's own wrapper, are passed over.
    """
    found: dict[str, Partition] = {}
    rows = [line.strip().split("|") for line in text.splitlines()]
    for name, available, limit, gres, memory in (row for row in rows if len(row) == 5):
        here = Partition(
            name.rstrip("*"), name.endswith("*"), available == "up", minutes_of(limit), gpus_of(gres),
            int(re.sub(r"\D.*", "", memory) or 0), models_of(gres),
        )  # fmt: skip
        other = found.get(here.name, here)
        found[here.name] = Partition(
            here.name, here.default, here.up, here.minutes, max(here.gpus, other.gpus),
            max(here.memory_mb, other.memory_mb), here.models | other.models,
        )  # fmt: skip
    return found


def minutes_of(limit: str) -> int | None:
    """Return SLURM's days-hours:minutes:seconds (or fewer parts) in minutes; None is no limit."""
    if not re.fullmatch(r"(\d+-)?[\d:]+", limit):
        return None  # infinite, n/a
    days, _, clock = limit.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if days:
        hours, minutes = [*parts, 0][:2]
    elif len(parts) == 3:
        hours, minutes = parts[:2]
    else:
        hours, minutes = 0, parts[0]
    return (int(days or 0) * 24 + hours) * 60 + minutes


def gpus_of(gres: str) -> int:
    """Return the GPUs of a node from its generic resources: `gpu:4`, `gpu:a100:4(S:0-1)`, `(null)`."""
    return sum(int(count) for count in re.findall(r"\bgpu(?::[^:,()]+)?:(\d+)", gres))


def models_of(gres: str) -> frozenset[str]:
    """Return the models of a node's GPUs: `gpu:nvidia_a100-sxm4-80gb:4(S:0-1)`."""
    return frozenset(re.findall(r"\bgpu:([^:,()]*[^:,()\d][^:,()]*)(?=:\d)", gres))

"""Requests of each rule to a scheduler, read from the rule files, so that tools need not start Snakemake."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stages.common.errors import InputError
from stages.common.settings import did_you_mean
from workflow.gpu_requests import gpus_of_gres

_RULE = re.compile(r"^rule (\w+):$", re.MULTILINE)
_NUMBER = r"^        {}=(?:growing\()?(\d+)"
_GROWING = r"^        {}=growing\(\d+(?:, most=(\d+))?\)"
MOST = 4  # times the first attempt's, unless a rule says otherwise


@dataclass(frozen=True)
class Request:
    """Request of one job to each of its nodes, at its first attempt.

    `memory_most` and `minutes_most` limit the growth of later ones.
    """

    rule: str
    threads: int
    memory_mb: int
    minutes: int
    gpus: int
    local: bool  # runs where snakemake runs
    cores_per_gpu: bool = False  # `threads` are of one GPU
    memory_most: int = 1
    minutes_most: int = 1

    def at_attempt(self, attempt: int) -> "Request":
        """Return the request at an attempt, counted from 1."""
        memory = grown(self.memory_mb, attempt, self.memory_most)
        return replace(self, memory_mb=memory, minutes=grown(self.minutes, attempt, self.minutes_most))


def grown(first: int, attempt: int, most: int) -> int:
    """Return twice as much at each attempt, up to `most` times the first."""
    return first * min(2 ** (attempt - 1), most)


def rule_requests(rules: Path) -> dict[str, Request]:
    """Return the requests by rule, of all *.smk files of a folder, in the order of their names."""
    found = {}
    for path in sorted(rules.glob("*.smk")):
        name, *parts = _RULE.split(path.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            found[name] = Request(
                rule=name,
                threads=_number(text, r"^    threads: (\d+)", 1),
                memory_mb=_number(text, _NUMBER.format("mem_mb"), 0),
                minutes=_number(text, _NUMBER.format("runtime"), 0),
                gpus=_number(text, _NUMBER.format("gpu"), 0),
                local=bool(re.search(r"^    localrule: True", text, re.MULTILINE)),
                cores_per_gpu=bool(re.search(r"^    threads: \d+ \* SPREAD", text, re.MULTILINE)),
                memory_most=_growth(text, "mem_mb"),
                minutes_most=_growth(text, "runtime"),
            )
    return found


def refuse_unknown_rules(key: str, names: Iterable[str], rules: Collection[str]) -> None:
    """Refuse names under a key of a profile that are no rules: Snakemake would pass over them in silence."""
    for name in names:
        if name not in rules:
            raise InputError(
                f"{key}: {name}: there is no such rule", remedy=f"correct the profile{did_you_mean(name, rules)}"
            )


def with_profile(request: Request, resources: Mapping[str, Any]) -> Request:
    """Return a request with a profile's resources applied; a number there holds for every attempt."""
    keys = ("mem_mb", "runtime", "gpu", "nodes")
    numbers = {key: int(resources[key]) for key in keys if str(resources.get(key, "")).isdigit()}
    gpus = gpus_of_gres(resources.get("gres", ""))
    if gpus is None:
        gpus = -(-numbers.get("gpu", request.gpus) // max(1, numbers.get("nodes", 1)))
    return replace(
        request,
        threads=request.threads * max(1, gpus) if request.cores_per_gpu else request.threads,
        memory_mb=numbers.get("mem_mb", request.memory_mb),
        minutes=numbers.get("runtime", request.minutes),
        gpus=gpus,
        memory_most=1 if "mem_mb" in numbers else request.memory_most,
        minutes_most=1 if "runtime" in numbers else request.minutes_most,
    )


def _growth(text: str, resource: str) -> int:
    match = re.search(_GROWING.format(resource), text, re.MULTILINE)
    return int(match[1] or MOST) if match else 1


def _number(text: str, pattern: str, otherwise: int) -> int:
    match = re.search(pattern, text, re.MULTILINE)
    return int(match[1]) if match else otherwise

"""Say in a sentence what figures and paired tests allow to say about a heatmap."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...common.records import Estimate
from ..numbers import decimal
from .comparisons import Comparisons


@dataclass(frozen=True)
class Pointer:
    """Name what points, with its hits. `row` is its name in the comparisons."""

    label: str
    row: str
    hits: Estimate


@dataclass(frozen=True)
class Contest:
    """A heatmap and what it has to beat in one column; `rivals` are untrained heatmaps and what is no heatmap."""

    heatmap: Pointer
    rivals: tuple[Pointer, ...]
    column: str


def verdict(contest: Contest, comparisons: Comparisons, table: str) -> str:
    """Say in a sentence what the figures and the paired test of its column allow to say about a heatmap."""
    own, subject = contest.heatmap, f"The {contest.heatmap.label} ({decimal(contest.heatmap.hits.value)})"
    unbeaten = [
        f"the {rival.label} ({decimal(rival.hits.value)})"
        for rival in contest.rivals
        if rival.hits.value >= own.hits.value
    ]
    if unbeaten:
        return f"{subject} does not beat {_and(unbeaten)}: no claim of localisation stands."
    tests = [(rival, comparisons.against(table, contest.column, own.row, rival.row)) for rival in contest.rivals]
    if few := [test.units for _, test in tests if test.of_few]:
        return f"{subject} is above all the others, on {few[0]} patients: too few to tell it from them by a test."
    undecided = [f"the {rival.label} (p {decimal(test.adjusted)})" for rival, test in tests if not test.decided]
    if undecided:
        return f"{subject} is above all the others, but the paired test does not tell it from {_and(undecided)}."
    return f"{subject} is above all the others by the paired test."


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

"""Rejects of any stage, counted by reason; ids and messages stay in the stage's own table."""

from collections import Counter
from dataclasses import dataclass

from ...common.files.arrow_tables import read_table
from ...common.files.schemas import REJECTS
from ..results_tree import ResultsTree


@dataclass(frozen=True)
class RejectCount:
    """Number of rejects of a stage for one reason."""

    stage: str
    dataset: str
    reason: str
    count: int


def read_rejects(tree: ResultsTree, stage: str, dataset: str) -> list[RejectCount]:
    """Read the reasons, the most frequent first."""
    reasons = Counter(read_table(tree.folder(stage, dataset) / "rejects.arrow", REJECTS)["reason"].to_pylist())
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return [RejectCount(stage, dataset, reason, count) for reason, count in ordered]


def total(rejects: list[RejectCount]) -> int:
    """Return the number of all rejects."""
    return sum(each.count for each in rejects)

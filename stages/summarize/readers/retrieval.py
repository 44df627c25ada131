"""Retrieval between images and reports: one result per variant."""

from dataclasses import dataclass

from ...common.records import read_record
from ...retrieval.contract import RetrievalResult
from ..results_tree import ResultsTree


@dataclass(frozen=True)
class Retrieval:
    """Result of retrieval for one variant."""

    variant: str
    result: RetrievalResult


def read_retrieval(tree: ResultsTree) -> list[Retrieval]:
    """Read the results of retrieval."""
    return [
        Retrieval(variant, read_record(tree.folder("retrieval", variant) / "result.json", RetrievalResult))
        for variant in tree.with_text
    ]

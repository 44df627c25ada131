"""Retrieval between images and reports: one result a variant."""

from dataclasses import dataclass

from ...common.records import read_record
from ...retrieval.contract import RetrievalResult
from ..results_tree import ResultsTree


@dataclass(frozen=True)
class Retrieval:
    variant: str
    result: RetrievalResult


def read_retrieval(tree: ResultsTree) -> list[Retrieval]:
    return [
        Retrieval(variant, read_record(tree.folder("retrieval", variant) / "result.json", RetrievalResult))
        for variant in tree.with_text
    ]

"""Reports as sentences: their number, what was rejected, and their quality."""

from dataclasses import dataclass

from ...common.files.arrow_tables import map_table
from ...common.records import read_record
from ...split_reports.contract import Quality
from ..results_tree import ResultsTree
from .rejects import RejectCount, read_rejects


@dataclass(frozen=True)
class Reports:
    """Counts and quality of the reports; `indexed` counts those of index_inputs."""

    indexed: int
    sentences: int
    rejects: list[RejectCount]
    quality: Quality


def read_reports(tree: ResultsTree) -> Reports:
    """Read the reports' counts and quality."""
    folder = tree.folder("split_reports", tree.pretrain_on)
    indexed = map_table(tree.folder("index_inputs", tree.pretrain_on) / "reports.arrow").num_rows
    sentences = map_table(folder / "sentences.arrow").num_rows
    return Reports(
        indexed,
        sentences,
        read_rejects(tree, "split_reports", tree.pretrain_on),
        read_record(folder / "quality.json", Quality),
    )

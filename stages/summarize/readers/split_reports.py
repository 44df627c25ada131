"""Reports as sentences: how many there are, what was rejected, and their quality."""

from dataclasses import dataclass

from pydantic import Field, model_validator

from ...common.files.arrow_tables import map_table
from ..results_tree import ResultsTree
from .record import Count, Part, read_record
from .rejects import RejectCount, read_rejects


class Bins(Part):
    """counts[i] of edges[i] <= x < edges[i + 1]; the last bin is open."""

    edges: list[int] = Field(min_length=1)
    counts: list[Count]

    @model_validator(mode="after")
    def _has_a_count_a_bin(self) -> "Bins":
        if len(self.edges) != len(self.counts):
            raise ValueError(f"{len(self.counts)} counts for {len(self.edges)} bins")
        return self


class QualityReports(Part):
    total: Count
    split: Count
    by_fallback: Count
    encodings: dict[str, Count]


class QualitySentences(Part):
    total: Count
    unique: Count
    over_long: Count
    max_pieces: Count


class QualityWords(Part):
    share_of_reports: float
    share_of_sections: float


class Boilerplate(Part):
    kind: str
    sentences: Count
    words: Count


class WorstSentence(Part):
    kind: str
    study_id: str
    position: Count
    number: Count
    occurrences: Count
    text: str | None = None  # null: the data set's text is not published


class Quality(Part):
    """quality.json of split_reports."""

    reports: QualityReports
    sections: dict[str, Count]
    sentences: QualitySentences
    words: QualityWords
    words_a_sentence: Bins
    pieces_a_sentence: Bins
    boilerplate: list[Boilerplate]
    worst: list[WorstSentence]


@dataclass(frozen=True)
class Reports:
    """`indexed` counts the reports of index_inputs; `quality` is None for results of versions before it."""

    indexed: int
    sentences: int
    rejects: list[RejectCount]
    quality: Quality | None


def read_reports(tree: ResultsTree) -> Reports:
    folder = tree.folder("split_reports", tree.pretrain_on)
    indexed = map_table(tree.folder("index_inputs", tree.pretrain_on) / "reports.arrow").num_rows
    sentences = map_table(folder / "sentences.arrow").num_rows
    quality = folder / "quality.json"
    return Reports(
        indexed,
        sentences,
        read_rejects(tree, "split_reports", tree.pretrain_on),
        read_record(quality, Quality) if quality.is_file() else None,
    )

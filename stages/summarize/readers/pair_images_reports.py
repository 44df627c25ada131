"""Pairs of image and report: the audit of their split, and the fingerprint of the training part."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from ...common.errors import InputError
from ..results_tree import ResultsTree
from .record import Count, Part, read_record
from .rejects import RejectCount, read_rejects


class PairSplit(Part):
    pairs: Count
    studies: Count
    patients: Count
    copies_of_pixels: Count
    copies_of_text: Count


class RecurringTexts(Part):
    texts: Count
    reports_also_in_train: dict[str, Count]


class Audit(Part):
    """audit.json of pair_images_reports."""

    images: Count
    reports: Count
    pairs: Count
    rejects: dict[str, Count]
    split_by: str
    splits: dict[Literal["train", "validation", "test"], PairSplit]
    patients_in_several_splits: Count
    pixels_in_several_splits: Count
    pixels_of_several_patients: Count
    report_texts_in_several_splits: RecurringTexts
    pairs_digest: str


class Distribution(Part):
    """How often each whole number occurs."""

    mean: float
    median: int
    percentile_95: int
    largest: int
    counts: dict[int, Count] = Field(min_length=1)


class GreyValues(Part):
    """Pixels a grey level (0..255) of the training images; mean and deviation on 0..1."""

    images: Count
    pixels: Count
    mean: float
    standard_deviation: float
    histogram: list[Count] = Field(min_length=256, max_length=256)


class FrequentSentence(Part):
    reports: Count
    text: str | None = None  # null: the data set's text is not published


class TrainingReports(Part):
    reports: Count
    sentences: Count
    different_sentences: Count
    sentences_a_report: Distribution
    pieces_a_report: Distribution
    words_a_sentence: Distribution
    most_frequent: list[FrequentSentence]


class Fingerprint(Part):
    """fingerprint.json of pair_images_reports."""

    pairs_digest: str
    views: dict[Literal["train", "validation", "test"], dict[str, Count]]
    intensity: GreyValues
    reports: TrainingReports


@dataclass(frozen=True)
class Pairs:
    audit: Audit
    fingerprint: Fingerprint
    rejects: list[RejectCount]


def read_pairs(tree: ResultsTree) -> Pairs:
    folder = tree.folder("pair_images_reports", tree.pretrain_on)
    audit, path = read_record(folder / "audit.json", Audit), folder / "fingerprint.json"
    fingerprint = read_record(path, Fingerprint)
    if fingerprint.pairs_digest != audit.pairs_digest:
        raise InputError(f"{path}: of other pairs than audit.json beside it", remedy="run its stage again")
    return Pairs(audit, fingerprint, read_rejects(tree, "pair_images_reports", tree.pretrain_on))

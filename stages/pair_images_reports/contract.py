"""What pair_images_reports reads and writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from ..common.contract import Job, product, source
from ..common.data.patient_split import PatientSplit
from ..common.records import Count, Record
from ..common.settings import Settings

ImagesPerStudy = Literal["all", "one"]
Part = Literal["train", "validation", "test"]


class PairImagesReportsSettings(Settings):
    """Settings of the block `pair_images_reports` of config.yaml."""

    patient_split: PatientSplit = Field(
        default_factory=PatientSplit, description="shares of patients for validation and test, and the seed"
    )
    images_per_study: ImagesPerStudy = Field(
        "all",
        description="all: one pair per image; pre-training draws one per study in every epoch. one: one pair "
        "per study: the PA view before AP before any other, then most original pixels, then smallest image_id",
    )
    intensity_images: int = Field(
        20_000,
        ge=1,
        description="maximum training images whose grey values are counted; a seeded sample if there are more",
    )
    publish_samples: bool = Field(
        False, description="write the text of the most frequent sentences into the fingerprint, for the report"
    )


class PairSplit(Record):
    """Counts of one split."""

    pairs: Count
    studies: Count
    patients: Count
    copies_of_pixels: Count
    copies_of_text: Count


class SeveralImages(Record):
    """Studies with more than one image."""

    count: Count
    share: float
    most_images: Count


class RecurringTexts(Record):
    """Reports that are word for word the same in more than one split."""

    texts: Count
    reports_also_in_train: dict[str, Count]  # by part, validation and test


class Audit(Record):
    """Contents of audit.json: counts that reconcile, and what recurs within and across splits."""

    dataset: str
    images: Count
    reports: Count
    pairs: Count
    rejects: dict[str, Count]  # by reason
    split_by: str
    images_with_distributed_split: Count
    splits: dict[Part, PairSplit]
    studies_with_several_images: SeveralImages
    patients_in_several_splits: Count
    pixels_in_several_splits: Count
    pixels_of_several_patients: Count
    report_texts_in_several_splits: RecurringTexts
    pairs_digest: str


class Distribution(Record):
    """Frequency of each whole number, in ascending order; quantiles are the lower of two neighbours."""

    mean: float
    median: int
    percentile_95: int
    largest: int
    counts: dict[int, Count] = Field(min_length=1)


class GreyValues(Record):
    """Pixels per grey level (0..255) inside the content boxes of training images; mean and deviation on 0..1."""

    images: Count
    pixels: Count
    mean: float
    standard_deviation: float
    histogram: list[Count] = Field(min_length=256, max_length=256)


class FrequentSentence(Record):
    """One of the most frequent sentences."""

    reports: Count
    text: str | None = None  # null: the data set's text is not published


class TrainingReports(Record):
    """Statistics of the training split's reports."""

    reports: Count
    sentences: Count
    different_sentences: Count
    sentences_a_report: Distribution
    pieces_a_report: Distribution
    words_a_sentence: Distribution
    most_frequent: list[FrequentSentence]


class Fingerprint(Record):
    """Contents of fingerprint.json: what a reader has to know about the data before any result.

    Views are counted in every split; grey values and reports are those of the training split only.
    """

    dataset: str
    pairs_digest: str
    splits: dict[Part, PairSplit]
    views: dict[Part, dict[str, Count]]
    intensity: GreyValues
    reports: TrainingReports
    rejects: dict[str, dict[str, Count]]  # by stage and reason


@dataclass(frozen=True, kw_only=True)
class PairImagesReportsJob(Job):
    """Pair images with reports under a patient-level split; audit leakage across splits; describe the data set."""

    stage = "pair_images_reports"
    place = "{dataset}"
    over = "pretraining dataset"

    settings: PairImagesReportsSettings
    images: Path = source("dicom_to_arrow", "manifest.json")
    sentences: Path = source("split_reports", "sentences.arrow")
    files: Path = source("index_inputs", "files.arrow", help="the distributed split")
    private: Path | None = source(
        optional=True, tracked=False, help="folder of the map of keyed identifiers, by whose distributed ids are split"
    )
    image_rejects: Path = source("dicom_to_arrow", "rejects.arrow", help="counted only")
    report_rejects: Path = source("split_reports", "rejects.arrow", help="counted only")
    pairs: Path = product("pairs.arrow", table="PAIRS")
    rejects: Path = product("rejects.arrow", table="REJECTS", summary=True, help="images and reports without a partner")
    audit: Path = product("audit.json", record=Audit, summary=True, help="counts and leakage")
    fingerprint: Path = product(
        "fingerprint.json", record=Fingerprint, summary=True, help="description of the data set"
    )

"""What the stages before this one wrote as JSON, as typed records: the keys that the summary reads."""

import math
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stages.common.atomic_files import read_json, verify
from stages.common.errors import InputError
from stages.common.settings import validation_lines

Record = TypeVar("Record", bound=BaseModel)
Count = Annotated[int, Field(ge=0)]

METRICS = ("auc", "average_precision", "f1", "accuracy")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)  # keys that the summary does not read are let through


class Estimate(_Part):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class ZeroShotResult(_Part):
    """result.json of zero_shot_classification."""

    finding: str
    prompt_set: str
    validation_auc: dict[str, float]
    threshold: float
    metrics: dict[Literal["auc", "average_precision", "f1", "accuracy"], Estimate]
    resampled_by: str
    test_images: Count
    test_positives: Count

    @model_validator(mode="after")
    def _is_whole(self) -> "ZeroShotResult":
        if missing := set(METRICS) - set(self.metrics):
            raise ValueError(f"metrics lacks {', '.join(sorted(missing))}")
        if self.prompt_set not in self.validation_auc:
            raise ValueError(f"validation_auc lacks the chosen set {self.prompt_set}")
        return self


class PointingGame(_Part):
    """Shares of hits on the same images; null where lungs are unknown."""

    heatmap: Estimate
    heatmap_in_lung: Estimate | None  # the peak inside the lungs, as the random point is
    random_in_lung: Estimate | None
    fixed_peak_of_training: Estimate | None


class IntegrityMap(_Part):
    """phi on the patch grid, row-major and centred, with its scale."""

    values: list[float] = Field(min_length=1)
    lung_auc: float | None
    smallest: float
    largest: float
    standard_deviation: float

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return math.isqrt(len(self.values))

    @model_validator(mode="after")
    def _is_square(self) -> "IntegrityMap":
        if self.grid**2 != len(self.values):
            raise ValueError(f"{len(self.values)} values are no square patch grid")
        return self


class GroundingResult(_Part):
    """result.json of phrase_grounding."""

    finding: str
    images: Count
    pointing: dict[str, PointingGame] = Field(min_length=1)
    integrity_map: IntegrityMap | None


class Selection(_Part):
    """selection.json of select_checkpoint; `candidates` maps a step to its score."""

    criterion: str
    split: str
    studies: Count
    candidates: dict[int, float] = Field(min_length=1)
    chosen_step: int

    @model_validator(mode="after")
    def _chose_a_candidate(self) -> "Selection":
        if self.chosen_step not in self.candidates:
            raise ValueError(f"chosen_step {self.chosen_step} is no candidate")
        return self


class Manifest(_Part):
    """manifest.json of dicom_to_arrow."""

    dataset: str
    size: Count
    indexed: Count
    images: Count
    rejects: Count


class CardSplit(_Part):
    images: Count
    patients: Count | None
    positives: Count
    prevalence: float | None
    sha256: str


class CardRemainder(_Part):
    count: Count  # the ids themselves stay in the card


class Card(_Part):
    """card.json of label_images."""

    dataset: str
    finding: str
    license: str
    how_to_get: str
    images: Count
    labelled: Count
    positives: Count
    boxes: Count
    masks: Count
    lung_masks: Count
    split_by: str
    splits: dict[str, CardSplit]
    pixels_in_several_splits: Count
    rejects: dict[str, CardRemainder]


class PairSplit(_Part):
    pairs: Count
    studies: Count
    patients: Count
    copies_of_pixels: Count
    copies_of_text: Count


class RecurringTexts(_Part):
    texts: Count
    reports_also_in_train: dict[str, Count]


class Audit(_Part):
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


class Distribution(_Part):
    """How often each whole number occurs."""

    mean: float
    median: int
    percentile_95: int
    largest: int
    counts: dict[int, Count] = Field(min_length=1)


class GreyValues(_Part):
    """Pixels a grey level (0..255) of the training images; mean and deviation on 0..1."""

    images: Count
    pixels: Count
    mean: float
    standard_deviation: float
    histogram: list[Count] = Field(min_length=256, max_length=256)


class FrequentSentence(_Part):
    reports: Count
    text: str | None = None  # null: the data set's text is not published


class TrainingReports(_Part):
    reports: Count
    sentences: Count
    different_sentences: Count
    sentences_a_report: Distribution
    pieces_a_report: Distribution
    words_a_sentence: Distribution
    most_frequent: list[FrequentSentence]


class Fingerprint(_Part):
    """fingerprint.json of pair_images_reports."""

    pairs_digest: str
    views: dict[Literal["train", "validation", "test"], dict[str, Count]]
    intensity: GreyValues
    reports: TrainingReports


class Bins(_Part):
    """counts[i] of edges[i] <= x < edges[i + 1]; the last bin is open."""

    edges: list[int] = Field(min_length=1)
    counts: list[Count]

    @model_validator(mode="after")
    def _has_a_count_a_bin(self) -> "Bins":
        if len(self.edges) != len(self.counts):
            raise ValueError(f"{len(self.counts)} counts for {len(self.edges)} bins")
        return self


class QualityReports(_Part):
    total: Count
    split: Count
    by_fallback: Count
    encodings: dict[str, Count]


class QualitySentences(_Part):
    total: Count
    unique: Count
    over_long: Count
    max_pieces: Count


class QualityWords(_Part):
    share_of_reports: float
    share_of_sections: float


class Boilerplate(_Part):
    kind: str
    sentences: Count
    words: Count


class WorstSentence(_Part):
    kind: str
    study_id: str
    position: Count
    number: Count
    occurrences: Count
    text: str | None = None  # null: the data set's text is not published


class Quality(_Part):
    """quality.json of split_reports."""

    reports: QualityReports
    sections: dict[str, Count]
    sentences: QualitySentences
    words: QualityWords
    words_a_sentence: Bins
    pieces_a_sentence: Bins
    boilerplate: list[Boilerplate]
    worst: list[WorstSentence]


def read_record(path: Path, model: type[Record]) -> Record:
    """Verify the side-car and parse; an InputError names every wrong key in one line."""
    verify(path)
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        lines = "; ".join(validation_lines(error, str(path)))
        raise InputError(f"{lines} (written by another version: run its stage again)") from None

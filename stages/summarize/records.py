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


class MeanOfSeeds(Estimate):
    """The mean over repetitions, and their standard deviation; null for a single one."""

    spread: float | None


class Seed(_Part):
    """One repetition of few-shot classification."""

    seed: int


class PartSize(_Part):
    images: Count
    positives: Count


class Overlap(_Part, extra="forbid"):
    """What connects the test images with training, all 0 in a clean split; a kind that is new here must be shown."""

    images_in_several_parts: Count
    patients_in_several_parts: Count
    copies_in_several_parts: Count
    test_copies_in_pretraining: Count
    test_patients_in_pretraining: Count

    @property
    def found(self) -> dict[str, int]:
        """Those above 0."""
        return {kind: number for kind, number in self if number}


class FewShotResult(_Part):
    """result.json of few_shot_classification; where it was `skipped` there are no seeds and no metrics."""

    finding: str
    skipped: str | None
    images: dict[Literal["train", "validation", "test"], PartSize]
    resampled_by: str
    seeds: list[Seed]
    metrics: dict[Literal["auc", "average_precision", "f1", "accuracy"], MeanOfSeeds]
    overlap: Overlap

    @model_validator(mode="after")
    def _is_whole(self) -> "FewShotResult":
        if missing := {"train", "validation", "test"} - set(self.images):
            raise ValueError(f"images lacks {', '.join(sorted(missing))}")
        if self.skipped is None and (missing := set(METRICS) - set(self.metrics)):
            raise ValueError(f"metrics lacks {', '.join(sorted(missing))}")
        if self.skipped is not None and (self.seeds or self.metrics):
            raise ValueError("skipped, but there are seeds or metrics")
        return self


class AgainstChance(Estimate):
    """A figure beside that of candidates in random order."""

    chance: float


class Direction(_Part):
    """Queries of one kind among candidates of the other; `recall` maps k to recall@k."""

    queries: Count
    candidates: Count
    recall: dict[int, AgainstChance] = Field(min_length=1)
    median_rank: AgainstChance


class RetrievalFigures(_Part):
    """What was measured, where there was something to measure."""

    images: Count
    reports: Count
    patients: Count
    distinct_texts: Count
    resampled_by: Literal["patient"]
    image_to_report: Direction
    report_to_image: Direction

    @property
    def directions(self) -> dict[str, Direction]:
        return {"image_to_report": self.image_to_report, "report_to_image": self.report_to_image}


class RetrievalResult(_Part):
    """result.json of retrieval; `skipped` says why there are no figures."""

    split: str
    skipped: str | None
    figures: RetrievalFigures | None

    @model_validator(mode="before")
    @classmethod
    def _take_figures(cls, record: dict) -> dict:
        """In the file the figures stand beside the other two keys."""
        return record | {"figures": record if record.get("skipped") is None else None}

    def measured_on(self) -> object:
        """What does not depend on the encoders."""
        if self.figures is None:
            return self.skipped
        directions = self.figures.directions
        chances = [{k: figure.chance for k, figure in each.recall.items()} for each in directions.values()]
        return chances, self.figures.model_dump(exclude=set(directions))


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

"""Records that stages write as JSON: the writer fills and every reader parses the same typed class."""

from collections.abc import Collection, Sized
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .files.atomic_files import read_json, verify, write_checked_json
from .settings import outdated_record

Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """A JSON object of a stage's output. Unknown keys are let through; NaN is refused."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, protected_namespaces=())


class Estimate(Record):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class AgainstChance(Estimate):
    """A figure beside that of guessing: candidates in random order, or classes at random."""

    chance: float

    @classmethod
    def of(cls, found: Estimate, chance: float) -> "AgainstChance":
        """Return an estimate beside its chance level."""
        return cls(**dict(found), chance=chance)


class Overlap(Record, extra="forbid"):
    """Counts of what connects test images with training: all 0 for a clean split."""

    images_in_several_parts: Count
    patients_in_several_parts: Count
    copies_in_several_parts: Count
    test_copies_in_pretraining: Count
    test_patients_in_pretraining: Count

    @property
    def found(self) -> dict[str, int]:
        """Return the counts above 0."""
        return {kind: number for kind, number in self if number}


MetricName = Literal["auc", "average_precision", "f1", "accuracy"]
METRICS: tuple[MetricName, ...] = get_args(MetricName)  # of a classifier

# Thresholds that validation chooses, and what is measured at each: stages/zero_shot_classification/operating_points.py.
PointName = Literal["sensitivity_90", "specificity_90", "youden"]
POINTS: tuple[PointName, ...] = get_args(PointName)
RateName = Literal["sensitivity", "specificity", "ppv", "npv"]
RATES: tuple[RateName, ...] = get_args(RateName)
OutcomeName = Literal["true_positive", "false_positive", "false_negative", "true_negative"]
OUTCOMES: tuple[OutcomeName, ...] = get_args(OutcomeName)  # the confusion matrix

# Positives, and negatives, that one of several findings needs in test: of fewer, a bootstrap interval says nothing.
FEWEST = 5
# Patients in a test part: of fewer, one more or less decides, and the percentiles of a bootstrap are too narrow.
FEWEST_PATIENTS = 20


def check_metrics(metrics: Collection[str]) -> None:
    """Raise ValueError where one of the figures of a classifier is missing."""
    if missing := set(METRICS) - set(metrics):
        raise ValueError(f"metrics lacks {', '.join(sorted(missing))}")


def has_several(findings: Sized, not_measured: Sized) -> bool:
    """Return whether a data set has more than one finding, measured or not."""
    return len(findings) + len(not_measured) > 1


AnyRecord = TypeVar("AnyRecord", bound=Record)


def write_record(path: Path, record: Record) -> None:
    """Write a record as JSON with its sha256 side-car, atomically."""
    write_checked_json(path, record.model_dump(mode="json"))


def read_record(path: Path, model: type[AnyRecord]) -> AnyRecord:
    """Read a record of `model` and verify its side-car.

    Raises:
        InputError: the file is damaged, or was written by another version; every wrong key is named in one line.
    """
    verify(path)
    return parse_record(path, model)


def parse_record(path: Path, model: type[AnyRecord]) -> AnyRecord:
    """Read a record that has no side-car, as in a folder that people fill by hand.

    Raises InputError where it does not match `model`.
    """
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        raise outdated_record(error, path, "run its stage again") from None

"""Few-shot classification: one result a job (data set, protocol, fraction) and variant."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import model_validator

from ...audit_splits.contract import Overlap
from ..results_tree import FewShotJob, ResultsTree
from .record import METRICS, Count, Estimate, Part, read_record


class MeanOfSeeds(Estimate):
    """The mean over repetitions, and their standard deviation; null for a single one."""

    spread: float | None


class Seed(Part):
    """One repetition of few-shot classification; `threshold` is that of its F1, from validation."""

    seed: int
    threshold: float


class PartSize(Part):
    images: Count
    positives: Count


class FewShotResult(Part):
    """result.json of few_shot_classification; where it was `skipped` there are no seeds and no metrics."""

    finding: str
    skipped: str | None
    departures: dict[str, list[Any]]  # from the published protocol: setting -> [value, published one]
    always_different: tuple[str, ...] = ()  # even where no setting departs; results of versions before do not say it
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


@dataclass(frozen=True)
class FewShot:
    """One cell of Table 2."""

    job: FewShotJob
    variant: str
    result: FewShotResult


def read_few_shot(tree: ResultsTree) -> list[FewShot]:
    stage = "few_shot_classification"
    return [
        FewShot(job, variant, read_record(tree.folder(stage, job.of(variant)) / "result.json", FewShotResult))
        for job, variant in tree.few_shot_evaluations
    ]

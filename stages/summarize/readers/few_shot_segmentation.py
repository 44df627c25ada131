"""Few-shot segmentation: one result a job (data set, protocol, fraction) and variant, radiographs where published."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, UInt8
from pydantic import model_validator

from ...audit_splits.contract import Overlap
from ...common.data.run_lengths import decode
from ...common.files.arrow_tables import map_table
from ...common.files.atomic_files import verify
from ..results_tree import FewShotJob, ResultsTree
from .few_shot_classification import MeanOfSeeds, PartSize
from .record import Count, Part, read_record

STAGE = "few_shot_segmentation"
FIGURES = ("dice", "dice_of_positives", "iou_of_positives", "predict_nothing", "gain_over_nothing")


class OutlinedPart(PartSize):
    positives_without_outline: Count  # left out
    outlines_too_small_to_show: Count  # counted as negatives


class Repetition(Part):
    seed: int


class SegmentationResult(Part):
    """result.json; where it was `skipped` there are no seeds and no metrics."""

    finding: str
    skipped: str | None
    departures: dict[str, list[Any]]  # from the published protocol: setting -> [value, published one]
    always_different: tuple[str, ...] = ()  # even where no setting departs; results of versions before do not say it
    input_size: Count
    stored_size: Count
    images: dict[Literal["train", "validation", "test"], OutlinedPart]
    resampled_by: str
    seeds: list[Repetition]
    metrics: dict[
        Literal["dice", "dice_of_positives", "iou_of_positives", "predict_nothing", "gain_over_nothing"], MeanOfSeeds
    ]
    overlap: Overlap

    @model_validator(mode="after")
    def _is_whole(self) -> "SegmentationResult":
        if missing := {"train", "validation", "test"} - set(self.images):
            raise ValueError(f"images lacks {', '.join(sorted(missing))}")
        if self.skipped is None and (missing := set(FIGURES) - set(self.metrics)):
            raise ValueError(f"metrics lacks {', '.join(sorted(missing))}")
        return self

    def measured_on(self) -> object:
        """What does not depend on the encoders."""
        nothing = self.metrics.get("predict_nothing")
        measured = (self.finding, self.resampled_by, self.images, self.input_size, self.skipped, self.seeds, nothing)
        return *measured, self.departures


@dataclass(frozen=True)
class OutlinedSample:
    """A radiograph that may be shown, with the true and the predicted outline."""

    image_id: str
    pixels: UInt8[np.ndarray, "size size"]
    truth: Bool[np.ndarray, "size size"]
    predicted: Bool[np.ndarray, "size size"]
    dice: float


@dataclass(frozen=True)
class Segmentation:
    """One cell of Table 3."""

    job: FewShotJob
    variant: str
    result: SegmentationResult
    samples: list[OutlinedSample]


def read_segmentation(tree: ResultsTree) -> list[Segmentation]:
    found = []
    for job, variant in tree.segmentation_evaluations:
        folder = tree.folder(STAGE, job.of(variant))
        result = read_record(folder / "result.json", SegmentationResult)
        verify(folder / "samples.arrow")
        size = result.stored_size
        samples = [
            OutlinedSample(
                row["image_id"],
                np.frombuffer(row["pixels"], np.uint8).reshape(size, size),
                decode(row["truth"], size, size),
                decode(row["predicted"], size, size),
                row["dice"],
            )
            for row in map_table(folder / "samples.arrow").to_pylist()
        ]
        found.append(Segmentation(job, variant, result, samples))
    return found

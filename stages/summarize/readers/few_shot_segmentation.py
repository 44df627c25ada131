"""Few-shot segmentation: one result per job (data set, protocol, fraction) and variant, with published samples."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from ...common.data.run_lengths import decode
from ...common.files.arrow_tables import map_table
from ...common.files.atomic_files import verify
from ...common.records import read_record
from ...few_shot_segmentation.contract import SegmentationResult
from ..results_tree import FewShotJob, ResultsTree

STAGE = "few_shot_segmentation"


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
    """Read the results of few-shot segmentation."""
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

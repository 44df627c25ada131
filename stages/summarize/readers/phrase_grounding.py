"""Phrase grounding: pointing game, integrity map and heatmaps of one data set and variant."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from ...common.data.run_lengths import decode
from ...common.errors import InputError
from ...common.files.arrow_tables import map_table, read_table
from ...common.files.atomic_files import verify
from ...common.files.schemas import samples
from ...common.records import read_record
from ...phrase_grounding.contract import GroundingResult
from ..results_tree import ResultsTree


@dataclass(frozen=True)
class Sample:
    """A radiograph that may be shown, with the heatmap of one variant."""

    image_id: str
    pixels: UInt8[np.ndarray, "size size"]
    heatmap: Float[np.ndarray, "size size"]
    region: Bool[np.ndarray, "size size"]
    peak: tuple[int, int]  # row, column
    hit: bool


@dataclass(frozen=True)
class Grounding:
    """Result of phrase grounding for one data set and variant."""

    dataset: str
    variant: str
    result: GroundingResult
    samples: list[Sample]


def read_grounding(tree: ResultsTree) -> list[Grounding]:
    """Read the results of phrase grounding."""
    grounding = []
    for dataset, variant in tree.evaluations:
        folder = tree.folder("phrase_grounding", f"{variant}/{dataset}")
        result = read_record(folder / "result.json", GroundingResult)
        grounding.append(Grounding(dataset, variant, result, read_samples(folder / "samples.arrow")))
    return grounding


def read_samples(path: Path) -> list[Sample]:
    """Read the samples of one result. Raises InputError where the schema lacks the images' size."""
    verify(path)
    metadata = map_table(path).schema.metadata or {}
    if b"size" not in metadata:
        raise InputError(f"{path}: its schema does not say the size of the images", remedy="run its stage again")
    size = int(metadata[b"size"])
    return [_sample(row, size) for row in read_table(path, samples(size)).to_pylist()]


def _sample(row: dict, size: int) -> Sample:
    pixels = np.frombuffer(row["pixels"], np.uint8).reshape(size, size)
    heatmap = np.array(row["heatmap"], np.float64).reshape(size, size)
    region, peak = decode(row["region"], size, size), (row["peak"][0], row["peak"][1])
    return Sample(row["image_id"], pixels, heatmap, region, peak, row["hit"])

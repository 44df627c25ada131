"""Phrase grounding: pointing game, integrity map and heatmaps of one data set and variant."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from pydantic import Field, model_validator

from ...common.data.run_lengths import decode
from ...common.errors import InputError
from ...common.files.arrow_tables import map_table, read_table
from ...common.files.atomic_files import verify
from ...common.files.schemas import samples
from ..results_tree import ResultsTree
from .few_shot_classification import Overlap
from .record import Count, Estimate, Part, read_record


class PointingGame(Part):
    """Shares of hits on the same images; null where lungs are unknown."""

    heatmap: Estimate
    heatmap_in_lung: Estimate | None  # the peak inside the lungs, as the random point is
    random_in_lung: Estimate | None
    random_in_content: Estimate | None = None  # where lungs are unknown; results of versions before lack it
    fixed_peak_of_training: Estimate | None
    word_prior: Estimate | None  # a point read off the phrase's words; null where they name no place

    def rivals(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that were measured."""
        return [name for name in names if getattr(self, name) is not None]


class IntegrityMap(Part):
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


class LocatedPart(Part):
    positives: Count
    positives_without_region: Count  # left out: neither box nor mask
    regions_too_small: Count  # left out: no stored pixel shows them


class GroundingResult(Part):
    """result.json of phrase_grounding."""

    finding: str
    images: Count
    located: dict[str, LocatedPart] = Field(default_factory=dict)  # by part; results of versions before lack it
    resampled_by: str
    pointing: dict[str, PointingGame] = Field(min_length=1)
    contrast_to_noise: dict[str, dict[str, Estimate | None]]  # by prompt set and pointer
    iou: dict[str, dict[str, Estimate | None]]
    place_words: dict[str, list[str]]
    integrity_map: IntegrityMap | None
    overlap: Overlap

    @property
    def left_out(self) -> str:
        """Of the test positives, in words; empty where none was left out or nobody counted."""
        test = self.located.get("test")
        if test is None or test.positives == self.images:
            return ""
        reasons = {"without box or mask": test.positives_without_region, "too small to show": test.regions_too_small}
        found = ", ".join(f"{number} {reason}" for reason, number in reasons.items() if number)
        return f"of {test.positives} with the finding; {found}"

    @model_validator(mode="after")
    def _adds_up(self) -> "GroundingResult":
        test = self.located.get("test")
        if test and test.positives != self.images + test.positives_without_region + test.regions_too_small:
            raise ValueError("located.test: positives are not images + positives_without_region + regions_too_small")
        return self

    def measured_on(self) -> object:
        """What does not depend on the encoders."""
        games = {name: game.model_dump(exclude={"heatmap", "heatmap_in_lung"}) for name, game in self.pointing.items()}
        return self.finding, self.images, self.located, self.resampled_by, games


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
    dataset: str
    variant: str
    result: GroundingResult
    samples: list[Sample]


def read_grounding(tree: ResultsTree) -> list[Grounding]:
    grounding = []
    for dataset, variant in tree.evaluations:
        folder = tree.folder("phrase_grounding", f"{variant}/{dataset}")
        result = read_record(folder / "result.json", GroundingResult)
        grounding.append(Grounding(dataset, variant, result, read_samples(folder / "samples.arrow")))
    return grounding


def read_samples(path: Path) -> list[Sample]:
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

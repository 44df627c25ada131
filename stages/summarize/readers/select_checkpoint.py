"""The choice of the checkpoint, one decision a variant, and phi of the chosen one, where the variant learns it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.image import imread
from pydantic import Field, model_validator

from ...common.files.atomic_files import verify
from ..results_tree import ResultsTree
from .record import Count, Part, read_record


class Selection(Part):
    """selection.json of select_checkpoint; `candidates` maps a step to its score."""

    criterion: str
    split: str
    studies: Count
    candidates: dict[int, float] = Field(min_length=1)
    chosen_step: int
    zero_shot_on: str | None = None  # the data set whose validation labels scored candidates, too
    labelled_images: Count = 0
    rule: str = ""  # results of versions before have neither rule nor reason
    reason: str = ""

    @model_validator(mode="after")
    def _chose_a_candidate(self) -> "Selection":
        if self.chosen_step not in self.candidates:
            raise ValueError(f"chosen_step {self.chosen_step} is no candidate")
        if self.by_labels and not (self.zero_shot_on and self.labelled_images):
            raise ValueError("chosen by zero-shot AUC, but zero_shot_on or labelled_images names no labels")
        return self

    @property
    def by_labels(self) -> bool:
        """Whether labels of images decided; else pairs of image and report did."""
        return self.criterion.startswith("zero-shot AUC")


def read_selection(tree: ResultsTree, variant: str) -> Selection:
    return read_record(tree.folder("select_checkpoint", variant) / "selection.json", Selection)


class _Image(Part):
    pooling: str = "mean"  # the default is not written


class _Model(Part):
    image: _Image


class _Checkpoint(Part):
    """config.json of a checkpoint."""

    model: _Model


def read_pooling(tree: ResultsTree) -> dict[str, str]:
    """By variant, what few-shot classification takes of its tokens: mean of patches, or cls."""
    paths = {each: tree.folder("select_checkpoint", each) / "checkpoint" / "config.json" for each in tree.variants}
    return {
        variant: read_record(path, _Checkpoint).model.image.pooling if path.is_file() else _Image().pooling
        for variant, path in paths.items()
    }


class MeanOfRadiographs(Part):
    path: str  # beside integrity_map.json
    images: Count


class IntegrityFile(Part):
    """integrity_map.json: phi, centred, as rows of the patch grid; no mean where it may not be published."""

    grid: Count
    smallest: float
    largest: float
    phi: list[list[float]] = Field(min_length=1)
    mean_radiograph: MeanOfRadiographs | None

    @model_validator(mode="after")
    def _is_square(self) -> "IntegrityFile":
        if {len(self.phi), *map(len, self.phi)} != {self.grid}:
            raise ValueError(f"phi is no square of {self.grid} by {self.grid}")
        return self


@dataclass(frozen=True)
class Integrity:
    variant: str
    phi: Float[np.ndarray, "grid grid"]
    mean: Float[np.ndarray, "size size"] | None  # of the validation radiographs, grey 0..1
    images: int  # radiographs in that mean


def read_integrity(tree: ResultsTree) -> list[Integrity]:
    """One a variant that has phi; results of versions before have no such file."""
    found = []
    for variant in tree.variants:
        path = tree.folder("select_checkpoint", variant) / "checkpoint" / "integrity_map.json"
        if path.is_file():
            record, mean = read_record(path, IntegrityFile), None
            if record.mean_radiograph is not None:
                verify(path.parent / record.mean_radiograph.path)
                mean = imread(path.parent / record.mean_radiograph.path).astype(float)
            images = record.mean_radiograph.images if record.mean_radiograph else 0
            found.append(Integrity(variant, np.array(record.phi), mean, images))
    return found

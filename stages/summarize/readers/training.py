"""What was trained: the learning curve of each variant, the choice of its checkpoint, its integrity map."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.image import imread

from ...common.encoders.settings import EncoderRecord
from ...common.errors import InputError
from ...common.files.atomic_files import verify
from ...common.records import read_record
from ...common.replicates import Replicate
from ...pretrain.contract import PretrainJob
from ...select_checkpoint.contract import IntegrityFile, SelectCheckpointJob, Selection
from ..results_tree import ResultsTree


def read_selection(tree: ResultsTree, replicate: str) -> Selection:
    """Read the decision for a replicate."""
    return read_record(tree.path(SelectCheckpointJob, "selection", variant=replicate), Selection)


def read_pooling(tree: ResultsTree) -> dict[str, str]:
    """Return, by variant, what few-shot classification takes of its tokens: mean of patches, or cls."""
    found: dict[str, str] = {}
    for each in tree.replicates:  # those of one variant have the same
        path = tree.path(SelectCheckpointJob, "checkpoint", variant=each.name) / "config.json"
        found[each.variant] = read_record(path, EncoderRecord).model.image.pooling
    return found


@dataclass(frozen=True)
class Integrity:
    """The integrity map of a replicate."""

    replicate: Replicate
    phi: Float[np.ndarray, "grid grid"]
    mean: Float[np.ndarray, "size size"] | None  # of the validation radiographs, grey 0..1
    images: int  # radiographs in that mean


def read_integrity(tree: ResultsTree) -> list[Integrity]:
    """Read the map of each replicate that has phi; results of older versions have no such file."""
    found = []
    for replicate in tree.replicates:
        path = tree.path(SelectCheckpointJob, "checkpoint", variant=replicate.name) / "integrity_map.json"
        if path.is_file():
            record, mean = read_record(path, IntegrityFile), None
            if record.mean_radiograph is not None:
                verify(path.parent / record.mean_radiograph.path)
                mean = imread(path.parent / record.mean_radiograph.path).astype(float)
            images = record.mean_radiograph.images if record.mean_radiograph else 0
            found.append(Integrity(replicate, np.array(record.phi), mean, images))
    return found


@dataclass(frozen=True)
class Training:
    """One training of a variant, and the candidate that was kept."""

    replicate: Replicate
    curve: dict[str, np.ndarray]  # column -> values at the logged steps; NaN where a column has none
    selection: Selection

    @property
    def variant(self) -> str:
        """Return the variant that was trained."""
        return self.replicate.variant

    @property
    def score(self) -> float:
        """Return the score on validation of the candidate that was kept."""
        return self.selection.candidates[self.selection.chosen_step]

    @property
    def trained(self) -> bool:
        """Return whether steps were trained; False for a variant of 0 epochs, the `random` encoder."""
        return len(self.curve["step"]) > 0

    @property
    def studies(self) -> int | None:
        """Return how many training studies an epoch passed over; None where an older version wrote the curve."""
        counts = self.curve.get("data/studies", np.empty(0))
        return int(counts[-1]) if len(counts) else None


def read_training(tree: ResultsTree) -> list[Training]:
    """Read the training of every replicate."""
    curves = {each: read_curve(tree.path(PretrainJob, "curve", variant=each.name)) for each in tree.replicates}
    return [Training(each, curve, read_selection(tree, each.name)) for each, curve in curves.items()]


def read_curve(path: Path) -> dict[str, np.ndarray]:
    """Return the columns of a learning curve; an empty cell is NaN. Raises InputError for another file."""
    verify(path)
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle, strict=True)
            rows, columns = list(reader), reader.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is no CSV file ({error})", remedy="run pretrain again") from None
    if "step" not in columns:
        raise InputError(f"{path}: no column `step`", remedy="run pretrain again")
    try:
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in columns}
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: a cell is no number ({error})", remedy="run pretrain again") from None

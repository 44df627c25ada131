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
from ...pretrain.contract import PretrainJob
from ...select_checkpoint.contract import IntegrityFile, SelectCheckpointJob, Selection
from ..results_tree import ResultsTree


def read_selection(tree: ResultsTree, variant: str) -> Selection:
    """Read the decision for a variant."""
    return read_record(tree.path(SelectCheckpointJob, "selection", variant=variant), Selection)


def read_pooling(tree: ResultsTree) -> dict[str, str]:
    """Return, by variant, what few-shot classification takes of its tokens: mean of patches, or cls."""
    paths = {each: tree.path(SelectCheckpointJob, "checkpoint", variant=each) / "config.json" for each in tree.variants}
    return {variant: read_record(path, EncoderRecord).model.image.pooling for variant, path in paths.items()}


@dataclass(frozen=True)
class Integrity:
    """The integrity map of a variant."""

    variant: str
    phi: Float[np.ndarray, "grid grid"]
    mean: Float[np.ndarray, "size size"] | None  # of the validation radiographs, grey 0..1
    images: int  # radiographs in that mean


def read_integrity(tree: ResultsTree) -> list[Integrity]:
    """Read the map of each variant that has phi; results of older versions have no such file."""
    found = []
    for variant in tree.variants:
        path = tree.path(SelectCheckpointJob, "checkpoint", variant=variant) / "integrity_map.json"
        if path.is_file():
            record, mean = read_record(path, IntegrityFile), None
            if record.mean_radiograph is not None:
                verify(path.parent / record.mean_radiograph.path)
                mean = imread(path.parent / record.mean_radiograph.path).astype(float)
            images = record.mean_radiograph.images if record.mean_radiograph else 0
            found.append(Integrity(variant, np.array(record.phi), mean, images))
    return found


@dataclass(frozen=True)
class Training:
    """Training of one variant, and the candidate that was kept."""

    variant: str
    curve: dict[str, np.ndarray]  # column -> values at the logged steps; NaN where a column has none
    selection: Selection

    @property
    def trained(self) -> bool:
        """Return whether steps were trained; False for a variant of 0 epochs, the `random` encoder."""
        return len(self.curve["step"]) > 0


def read_training(tree: ResultsTree) -> list[Training]:
    """Read the training of every variant."""
    curves = [read_curve(tree.path(PretrainJob, "curve", variant=variant)) for variant in tree.variants]
    return [
        Training(variant, curve, read_selection(tree, variant))
        for variant, curve in zip(tree.variants, curves, strict=True)
    ]


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

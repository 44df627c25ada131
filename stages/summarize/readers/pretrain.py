"""Pre-training: the learning curve of one variant, and the choice of its checkpoint."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...common.errors import InputError
from ...common.files.atomic_files import verify
from ...select_checkpoint.contract import Selection
from ..results_tree import ResultsTree
from .select_checkpoint import read_selection


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
    curves = [read_curve(tree.folder("pretrain", variant) / "learning_curve.csv") for variant in tree.variants]
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

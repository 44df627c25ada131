"""The images that a job trains on, chooses with and is measured on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int

from stages.common import labelled_images
from stages.common.arrow_tables import read_table
from stages.common.errors import InputError
from stages.common.schemas import LABELS


@dataclass(frozen=True)
class Parts:
    """Rows of LABELS of one finding. `train` is the subset of the job, the other parts are whole."""

    finding: str
    train: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame

    @property
    def skipped(self) -> str | None:
        """Why nothing can be learned from the subset, or None where it can be."""
        targets = self.train["target"]
        if targets.n_unique() == 2:
            return None
        found = "no image" if targets.is_empty() else f"{len(targets)} images, all with target {targets[0]}"
        return f"the subset has {found}: a classifier needs both"


def targets_of(part: pl.DataFrame) -> Int[np.ndarray, "images"]:
    """1 present, 0 absent."""
    return part["target"].to_numpy().astype(np.int64)


def read_finding(path: Path, finding: str | None) -> pl.DataFrame:
    """Labels of `finding`, or of the only one there is."""
    if finding is None:
        known = sorted(set(read_table(path, LABELS)["finding"].to_pylist()))
        if len(known) != 1:
            names = ", ".join(known) or "none"
            raise InputError(f"{path}: findings are {names}; name one in `few_shot_classification.finding`")
        finding = known[0]
    return labelled_images.read_labels(path, finding)


def split_parts(labels: pl.DataFrame, fraction: int, source: Path) -> Parts:
    """The subset of `fraction` percent of the training part (subsets are nested), validation and test.

    Validation or test without both targets is an InputError that names `source`: nothing could be chosen or measured.
    """
    train = labels.filter((pl.col("split") == "train") & (pl.col("subset") <= fraction))
    rest = {name: labels.filter(pl.col("split") == name) for name in ("validation", "test")}
    for name, part in rest.items():
        if part["target"].n_unique() < 2:
            raise InputError(
                f"{source}: the {name} part needs positives and negatives; raise its share in label_images"
            )
    return Parts(labels["finding"][0], train, rest["validation"], rest["test"])

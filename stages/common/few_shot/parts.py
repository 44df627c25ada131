"""The labelled images of a few-shot job: the parts that it trains on, chooses with and is measured on.

Images are used at the size that training crops from.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from jaxtyping import Int, UInt8

from ..data import labelled_images
from ..data.patient_split import subset_size
from ..errors import InputError
from ..files.arrow_tables import read_table
from ..files.schemas import LABELS


@dataclass(frozen=True)
class Parts:
    """Rows of LABELS of one finding, by part. `train` is the subset of the job; the other parts are whole."""

    finding: str
    train: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame

    @property
    def skipped(self) -> str | None:
        """Return why nothing can be learned from the subset, or None where it can."""
        targets = self.train["target"]
        if targets.n_unique() == 2:
            return None
        found = "no image" if targets.is_empty() else f"{len(targets)} images, all with target {targets[0]}"
        return f"the subset has {found}: a classifier needs both"


def targets_of(part: pl.DataFrame) -> Int[np.ndarray, "images"]:
    """Return the targets of a part: 1 present, 0 absent."""
    return part["target"].to_numpy().astype(np.int64)


def read_finding(path: Path, finding: str | None) -> pl.DataFrame:
    """Return the labels of `finding`, or of the only finding that the file has.

    Raises InputError where no finding is named and the file does not have exactly one.
    """
    if finding is None:
        known = sorted(set(read_table(path, LABELS)["finding"].to_pylist()))
        if len(known) != 1:
            names = ", ".join(known) or "none"
            raise InputError(f"{path}: findings are {names}", remedy="select one with the setting `finding`")
        finding = known[0]
    return labelled_images.read_labels(path, finding)


def split_parts(labels: pl.DataFrame, fraction: int, source: Path) -> Parts:
    """Return the subset of `fraction` percent of the training part, and the validation and test parts.

    Subsets are nested. Raises InputError, which names `source`, where the labels have no such subset, or validation or
    test lacks one of the targets: nothing could be chosen or measured.
    """
    whole = labels.filter(pl.col("split") == "train")
    train = whole.filter(pl.col("subset") <= fraction)
    _refuse_no_subset(whole, train, fraction, source)
    rest = {name: labels.filter(pl.col("split") == name) for name in ("validation", "test")}
    for name, part in rest.items():
        if part["target"].n_unique() < 2:
            raise InputError(
                f"{source}: the {name} part needs positives and negatives", remedy="raise its share in label_images"
            )
    return Parts(labels["finding"][0], train, rest["validation"], rest["test"])


def _refuse_no_subset(whole: pl.DataFrame, train: pl.DataFrame, fraction: int, source: Path) -> None:
    """Refuse a `fraction` that is no subset of the labels: its rows would be those of the next smaller subset.

    A row has the smallest subset that holds it. So a subset of few images may equal the smaller one and have no row of
    its own; then it has as many images of each target as label_images draws for `fraction`.
    """
    known = sorted({*whole["subset"], 100})
    if fraction in known or train.is_empty():
        return
    for target in (0, 1):
        every, drawn = (part.filter(pl.col("target") == target).height for part in (whole, train))
        if drawn != subset_size(every, fraction):
            raise InputError(
                f"{source}: has subsets of {', '.join(map(str, known))} %, none of {fraction} %",
                remedy="correct `fraction`, or add it to label_images.subsets",
            )


_MARGIN = 256 / 224  # what crops are drawn from / the encoder's input, as published for images stored at 256


def shrink(images: UInt8[np.ndarray, "batch stored stored"], size: int) -> UInt8[np.ndarray, "batch side side"]:
    """Shrink images by area means to 256/224 of the encoder's input `size`; smaller images are returned unchanged.

    Crops are resampled bilinearly (augmentation.py), which would alias where they shrink much.
    """
    side = round(size * _MARGIN)
    if images.shape[-1] <= side:
        return images
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images])

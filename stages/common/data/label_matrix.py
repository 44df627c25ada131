"""Labels of several findings as a matrix: images as rows, findings as columns; no image library is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int, Int8, Shaped

from ..errors import InputError
from ..files.arrow_tables import read_table
from ..files.schemas import LABELS, SCORES
from ..radiographs.attributes import ATTRIBUTES


@dataclass(frozen=True)
class LabelMatrix:
    """Images with the labels of several findings: 1 present, 0 absent, -1 unknown.

    `images` has columns image_id, patient_id, split, subset, and those of `ATTRIBUTES` that are read, one row per image
    (and part, where lists put an image into several).
    """

    findings: tuple[str, ...]
    images: pl.DataFrame
    targets: Int8[np.ndarray, "images findings"]

    def where(self, chosen: Bool[np.ndarray, "images"]) -> "LabelMatrix":
        """Return some of the images."""
        return LabelMatrix(self.findings, self.images.filter(pl.Series(chosen)), self.targets[chosen])

    def part(self, name: str) -> "LabelMatrix":
        """Return the images of train, validation or test."""
        return self.where((self.images["split"] == name).to_numpy())

    def of(self, finding: str) -> Int8[np.ndarray, "images"]:
        """Return the labels of one finding."""
        return self.targets[:, self.findings.index(finding)]

    def among(self, findings: Sequence[str]) -> "LabelMatrix":
        """Return the labels of some of the findings, in this order."""
        return LabelMatrix(
            tuple(findings), self.images, self.targets[:, [self.findings.index(each) for each in findings]]
        )

    def labelled(self) -> "LabelMatrix":
        """Return the images that have a label of one of the findings."""
        return self if self.known.all() else self.where(self.known)

    @property
    def known(self) -> Bool[np.ndarray, "images"]:
        """Return which images have a label of one of the findings."""
        return np.any(self.targets >= 0, axis=1)

    @property
    def positives(self) -> int:
        """Return the number of images with at least one of the findings."""
        return int((self.targets == 1).any(axis=1).sum())

    def scored(self, scores: Mapping[str, Float[np.ndarray, "images"]]) -> pl.DataFrame:
        """Return rows of SCORES: one per finding of `scores` and image whose label is known."""
        parts = []
        for finding, each in scores.items():
            rows = self.images.select(
                "image_id", "patient_id", "split", finding=pl.lit(finding), target=pl.Series(self.of(finding)),
                score=pl.Series(each, dtype=pl.Float32),
            )  # fmt: skip
            parts.append(rows.filter(pl.col("target") >= 0))
        return pl.concat(parts) if parts else pl.DataFrame(pl.from_arrow(SCORES.empty_table()))

    @property
    def resampled(self) -> tuple[Literal["patient", "image"], Shaped[np.ndarray, "images"]]:
        """Return the unit of the bootstrap, and that of each image."""
        return resampled(self.images)


def resampled(rows: pl.DataFrame) -> tuple[Literal["patient", "image"], Shaped[np.ndarray, "rows"]]:
    """Return what the bootstrap draws, patients or where some are unknown images, and that of each row."""
    unit: Literal["patient", "image"] = "image" if rows["patient_id"].null_count() else "patient"
    return unit, rows[f"{unit}_id"].to_numpy()


def label_matrix(rows: pl.DataFrame) -> LabelMatrix:
    """Return rows of LABELS as a matrix: images and findings in the order in which they first appear."""
    key = ["image_id", "split"]
    findings = rows["finding"].unique(maintain_order=True)
    known = [name for name in ATTRIBUTES if name in rows.columns]
    images = rows.select("image_id", "patient_id", "split", "subset", *known).unique(key, maintain_order=True)
    place = rows.select(*key, "finding", "target").join(images.with_row_index("row"), on=key, maintain_order="left")
    columns = {finding: number for number, finding in enumerate(findings)}
    targets = np.full((len(images), len(findings)), -1, dtype=np.int8)
    targets[place["row"].to_numpy(), [columns[finding] for finding in place["finding"]]] = place["target"].to_numpy()
    return LabelMatrix(tuple(findings), images, targets)


def exclusive_classes(labels: LabelMatrix, classes: Sequence[str]) -> tuple[Int[np.ndarray, "images"], dict[str, int]]:
    """Return the class of each image, -1 where it has none, and the number of those by reason.

    An image is of a class if that finding is present and every other one of `labels` is known to be absent. An unknown
    label, or an uncertain one that is ignored, may hide a second finding.
    """
    own = labels.among(classes).targets == 1
    several, known = (labels.targets == 1).sum(axis=1) > 1, (labels.targets >= 0).all(axis=1)
    is_any = own.any(axis=1)
    reasons = {"none_present": ~is_any, "several_present": is_any & several,
               "others_unknown": is_any & ~several & ~known}  # fmt: skip
    found = np.where(is_any & ~several & known, own.argmax(axis=1), -1)
    return found, {reason: int(each.sum()) for reason, each in reasons.items()}


def read_label_matrix(path: Path, needed: Sequence[str] | None = None) -> LabelMatrix:
    """Return the labels of all findings of the file. Raises InputError where one of `needed` has none."""
    columns = ["image_id", "patient_id", "finding", "target", "split", "subset", *ATTRIBUTES]
    rows = read_table(path, LABELS).select(columns)
    matrix = label_matrix(pl.DataFrame(rows))
    for finding in needed or ():
        if finding not in matrix.findings:
            raise no_label(path, finding, matrix.findings)
    return matrix


def no_label(path: Path, finding: str, known: Sequence[str]) -> InputError:
    """Return the error for a finding that a file of labels does not have."""
    return InputError(
        f"{path}: no label is of finding {finding!r} (known: {', '.join(known) or 'none'})",
        remedy="correct the name of the finding in the prompt file or the settings",
    )

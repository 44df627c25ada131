"""The labelled images of a few-shot job: the parts that it trains on, chooses with and is measured on.

Images are used at the size that training crops from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from jaxtyping import UInt8

from ..data.label_matrix import LabelMatrix
from ..data.patient_split import by_rarest, subset_size
from ..errors import InputError
from ..metrics.findings import Measurable


@dataclass(frozen=True)
class Parts:
    """Labels of the job's findings, by part. `train` is the subset of the job; the other parts are whole.

    `not_measured` says why other findings have no figures. Each image has a label of at least one finding.
    """

    train: LabelMatrix
    validation: LabelMatrix
    test: LabelMatrix
    not_measured: Mapping[str, str]

    @property
    def findings(self) -> tuple[str, ...]:
        """Return the findings that are trained and measured."""
        return self.train.findings

    @property
    def skipped(self) -> str | None:
        """Return why nothing can be learned from the subset, or None where it can."""
        reasons = [why for finding in self.findings if (why := unlearnable(self.train, finding))]
        return reasons[0] if len(reasons) == len(self.findings) else None


def unlearnable(train: LabelMatrix, finding: str) -> str | None:
    """Return why a finding cannot be learned from the images of `train`, or None where it can."""
    targets = train.of(finding)[train.of(finding) >= 0]
    if len(set(targets.tolist())) == 2:
        return None
    found = "no image" if not len(targets) else f"{len(targets)} images, all with target {targets[0]}"
    return f"the subset has {found}: a classifier needs both"


def split_parts(labels: LabelMatrix, fraction: int, source: Path, findings: Sequence[str] | None = None) -> Parts:
    """Return the subset of `fraction` percent of the training part, and the validation and test parts.

    `labels` are those of all findings, by which the subsets were drawn; `findings` are those of the job, null for all.

    Subsets are nested. Findings that cannot be measured, or learned where others can, are left out. Raises InputError,
    which names `source`, where the labels have no such subset, or no finding can be measured.
    """
    refuse_no_subset(labels, fraction, source)
    several = len(labels.findings) > 1
    labels = labels if findings is None else labels.among(findings)
    measurable = Measurable.of(labels, str(source), several)
    not_measured = dict(measurable.too_few)
    train = subset_of(labels, fraction).among(measurable.findings)
    wrong = {finding: why for finding in train.findings if (why := unlearnable(train, finding))}
    if len(wrong) < len(train.findings):
        not_measured |= wrong
    kept = [finding for finding in labels.findings if finding not in not_measured]
    validation, test = (labels.part(name).among(kept).labelled() for name in ("validation", "test"))
    return Parts(train.among(kept).labelled(), validation, test, not_measured)


def subset_of(labels: LabelMatrix, fraction: int) -> LabelMatrix:
    """Return the subset of `fraction` percent of the training part."""
    return labels.where(((labels.images["split"] == "train") & (labels.images["subset"] <= fraction)).to_numpy())


def refuse_no_subset(labels: LabelMatrix, fraction: int, source: Path) -> None:
    """Refuse a `fraction` that is no subset of the labels: its rows would be those of the next smaller subset.

    An image has the smallest subset that holds it. So a subset of few images may equal the smaller one and have no
    image of its own; then it has as many of each group of findings as label_images draws for `fraction`.
    """
    whole = labels.part("train")
    known = sorted({*whole.images["subset"], 100})
    drawn = set(whole.images.filter(pl.col("subset") <= fraction)["image_id"])
    if fraction in known or not drawn:
        return
    ids = whole.images["image_id"].to_list()
    cells = ((ids[image], whole.findings[finding], int(whole.targets[image, finding]))
             for image, finding in np.argwhere(whole.targets >= 0))  # fmt: skip
    for group in by_rarest(cells):
        if len(drawn.intersection(group)) != min(len(group), subset_size(len(group), fraction)):
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

"""The images of a multi-class evaluation: those of exactly one class, and an equal number of each, drawn by seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int

from ..common.data.label_matrix import LabelMatrix, exclusive_classes
from ..common.digests import seed_from
from ..common.errors import InputError
from .contract import MultiClassSettings


@dataclass(frozen=True)
class DrawnImages:
    """Images and their class, by its place in `classes`, in the order of the ids."""

    classes: tuple[str, ...]
    images: pl.DataFrame  # as of LabelMatrix
    truth: Int[np.ndarray, "images"]
    qualifying: dict[str, int]  # by class: images that could be drawn
    not_qualifying: dict[str, int]  # by reason


def draw_images(labels: LabelMatrix, classes: Sequence[str], settings: MultiClassSettings, source: Path) -> DrawnImages:
    """Draw `per_class` of the images of each class.

    The result is a pure function of the labels and the seed; the order of rows does not matter. `labels` are those of
    all findings of the data set. Raises InputError, which names `source`, for a class of which there are too few.
    """
    used = labels if settings.exclusive_among == "findings" else labels.among(classes)
    used = used.part("test") if settings.part == "test" else _each_once(used)
    truth, reasons = exclusive_classes(used, classes)
    ids = used.images["image_id"].to_numpy()
    by_class = {name: np.sort(ids[truth == number]) for number, name in enumerate(classes)}
    for name, found in by_class.items():
        _refuse_too_few(name, len(found), settings, source)
    drawn = {image for name, found in by_class.items() for image in _some(found, name, settings)}
    rows = np.array([row for row in np.argsort(ids, kind="stable") if ids[row] in drawn])
    qualifying = {name: len(found) for name, found in by_class.items()}
    return DrawnImages(tuple(classes), used.images[rows], truth[rows], qualifying, reasons)


def _each_once(labels: LabelMatrix) -> LabelMatrix:
    """Return the images, each once; lists may put one into several parts, with the same labels."""
    return labels.where(labels.images["image_id"].is_first_distinct().to_numpy())


def _some(ids: np.ndarray, name: str, settings: MultiClassSettings) -> np.ndarray:
    if settings.per_class is None:
        return ids
    order = np.random.default_rng(seed_from("multi_class", settings.seed, name)).permutation(len(ids))
    return ids[order[: settings.per_class]]


def _refuse_too_few(name: str, found: int, settings: MultiClassSettings, source: Path) -> None:
    if found >= (settings.per_class or 1):
        return
    where = "images of the test part" if settings.part == "test" else "labelled images"
    among = "class" if settings.exclusive_among == "classes" else "finding"
    ways = [f"set per_class to {found} or less"] if found else []
    ways += ["enlarge the test part"] if settings.part == "test" else []
    raise InputError(
        f"{source}: {found} {where} have {name} and no other {among}, known to be absent, but "
        f"multi_class_classification needs {settings.per_class or 1}",
        ", ".join([*ways, "or name other `classes`"]) if ways else "name other `classes`",
    )

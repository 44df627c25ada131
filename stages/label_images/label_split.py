"""Train, validation and test by patient, stratified by target, and nested subsets of the training part."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.common.digests import seed_from
from stages.common.errors import InputError
from stages.label_images.settings import LabelImagesSettings, SplitShares

PARTS = ("train", "validation", "test")


def with_splits(rows: Sequence[Mapping[str, Any]], settings: LabelImagesSettings) -> list[dict[str, Any]]:
    """The rows with their split and subset."""
    parts = assign_splits(rows, settings.split, settings.seed)
    return with_subsets([{**row, "split": part} for row, part in zip(rows, parts, strict=True)], settings)


def with_subsets(rows: Sequence[Mapping[str, Any]], settings: LabelImagesSettings) -> list[dict[str, Any]]:
    """The rows, which have a split, with the subset of those in train."""
    subsets = assign_subsets(rows, [row["split"] for row in rows], settings.subsets, settings.seed)
    return [{**row, "subset": subset} for row, subset in zip(rows, subsets, strict=True)]


def split_by(rows: Sequence[Mapping[str, Any]]) -> str:
    """The unit of the split: "patient", or "image" where patients are unknown."""
    unknown = [row["image_id"] for row in rows if row["patient_id"] is None]
    if unknown and len(unknown) < len(rows):
        raise InputError(f"image {unknown[0]} has no patient ({len(unknown)} such), others have: name all or none")
    return "image" if unknown else "patient"


def assign_splits(rows: Sequence[Mapping[str, Any]], shares: SplitShares, seed: int) -> list[str]:
    """The part of each row. A patient is in one part; positives are those with a positive image.

    A pure function of the set of (image_id, patient_id, target), the shares and the seed: the order of rows is nothing.
    """
    unit = "image_id" if split_by(rows) == "image" else "patient_id"
    positive: dict[str, int] = {}
    for row in rows:
        positive[row[unit]] = max(positive.get(row[unit], 0), row["target"])
    if len(set(positive.values())) < 2:
        value = next(iter(positive.values()), "none")
        raise InputError(f"every {unit.removesuffix('_id')} has target {value}; correct `target` and `positive_values`")
    part_of: dict[str, str] = {}
    for target in (0, 1):
        units = sorted(name for name, value in positive.items() if value == target)
        order = np.random.default_rng(seed_from("label_split", seed, target)).permutation(len(units))
        sizes = part_sizes(len(units), shares)
        parts = [part for part in PARTS for _ in range(sizes[part])]
        part_of |= {units[place]: part for place, part in zip(order, parts, strict=True)}
    return [part_of[row[unit]] for row in rows]


def part_sizes(count: int, shares: SplitShares) -> dict[str, int]:
    """Whole numbers that sum to `count`: largest remainders, then none empty that has a share, where count allows."""
    exact = {part: count * getattr(shares, part) for part in PARTS}
    sizes = {part: math.floor(value + 1e-9) for part, value in exact.items()}
    by_remainder = sorted(PARTS, key=lambda part: sizes[part] - exact[part])  # stable: ties in the order of PARTS
    for part in by_remainder[: count - sum(sizes.values())]:
        sizes[part] += 1
    for part in ("train", "test", "validation"):  # the order in which a rare finding is shared out
        donor = max(sizes, key=lambda name: sizes[name])
        if getattr(shares, part) > 0 and sizes[part] == 0 and sizes[donor] > 1:
            sizes[donor] -= 1
            sizes[part] += 1
    return sizes


def assign_subsets(
    rows: Sequence[Mapping[str, Any]], parts: Sequence[str], percents: Sequence[int], seed: int
) -> list[int]:
    """For each training image the smallest percentage of `percents` that holds it, stratified; 100 for other rows.

    Each subset has at least one positive and one negative image where the training part has them.
    """
    trained = [row for row, part in zip(rows, parts, strict=True) if part == "train"]
    subset_of: dict[str, int] = {}
    for target in (0, 1):
        images = sorted(row["image_id"] for row in trained if row["target"] == target)
        order = np.random.default_rng(seed_from("label_subsets", seed, target)).permutation(len(images))
        for percent in reversed(percents):  # smaller ones last: they overwrite, and so are nested
            size = max(1, math.floor(len(images) * percent / 100 + 0.5))
            subset_of |= {images[place]: percent for place in order[:size]}
    return [subset_of[row["image_id"]] if part == "train" else 100 for row, part in zip(rows, parts, strict=True)]

"""Images with a finding of known place, on the stored square, and the place as a report words it.

The words are a side and a zone. A patient's right is on the left of the image.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Shaped, UInt8

from ..common.data.image_store import ImageStore
from ..common.data.label_matrix import resampled
from ..common.data.labelled_images import region, to_stored
from ..common.data.run_lengths import decode
from ..common.errors import InputError

SIDES = ("right", "left")
ZONES = ("upper", "mid", "lower")


@dataclass(frozen=True)
class Place:
    """Place of a finding. `part` is the finding on the named side, which a phrase with this place describes."""

    side: str
    zone: str
    part: Bool[np.ndarray, "rows columns"]

    def words(self, slots: tuple[str, ...]) -> tuple[str, ...]:
        """Return the words for some of the slots `side` and `zone`."""
        return tuple(getattr(self, slot) for slot in slots)


def place_of(region: Bool[np.ndarray, "rows columns"], frame: Bool[np.ndarray, "rows columns"]) -> Place:
    """Return the side with most of the region, and the third of the frame's height with the middle of that part.

    `frame` is the lungs where they are known, else the content of the image; its middle column is the midline.
    """
    rows, columns = np.nonzero(frame)
    midline = (columns.min() + columns.max() + 1) / 2
    first = np.arange(region.shape[1]) < midline
    right = region & first
    part, side = (right, SIDES[0]) if 2 * right.sum() >= region.sum() else (region & ~first, SIDES[1])
    middle = np.nonzero(part)[0].mean() + 0.5
    third = int(len(ZONES) * (middle - rows.min()) / (rows.max() + 1 - rows.min()))
    return Place(side, ZONES[min(max(third, 0), len(ZONES) - 1)], part)


@dataclass(frozen=True)
class Located:
    """Positives of one part whose place is known, and how many were left out because it is not."""

    labels: pl.DataFrame
    pixels: UInt8[np.ndarray, "images size size"]
    regions: Bool[np.ndarray, "images size size"]
    content: Bool[np.ndarray, "images size size"]  # inside the padding
    lungs: Bool[np.ndarray, "images size size"] | None  # None: unknown
    without_region: int = 0  # positives without box and mask
    too_small: int = 0  # positives whose region covers no stored pixel by half

    @cached_property
    def places(self) -> list[Place]:
        """Return each finding's place in the words of a report."""
        frames = self.content if self.lungs is None else self.lungs
        return [place_of(own, frame) for own, frame in zip(self.regions, frames, strict=True)]

    def on_named_side(self) -> "Located":
        """Return the same images, each region cut to what a phrase with its place describes."""
        return replace(self, regions=np.stack([place.part for place in self.places]))

    def counts(self) -> dict[str, int]:
        """Return the counts of positives: all, and those left out."""
        left_out = {"positives_without_region": self.without_region, "regions_too_small": self.too_small}
        return {"positives": len(self.labels) + sum(left_out.values()), **left_out}

    @property
    def resampled(self) -> tuple[str, Shaped[np.ndarray, "images"]]:
        """Return the unit of the bootstrap, and that of each image."""
        return resampled(self.labels)


class NoLocationError(InputError):
    """A part has no positive whose place is known; `why` says it in a few words."""

    def __init__(self, what: str, remedy: str, why: str) -> None:
        super().__init__(what, remedy)
        self.why = why


def locate(labels: pl.DataFrame, store: ImageStore, split: str, source: Path) -> Located:
    """Return the positives of one part whose region covers at least one stored pixel.

    Raises NoLocationError, which names `source`, where there are none.
    """
    columns = store.table.select(["image_id", "content_box", "original_rows", "original_columns"])
    positives = labels.filter((pl.col("split") == split) & (pl.col("target") == 1))
    chosen = positives.filter(pl.col("mask").is_not_null() | (pl.col("boxes").list.len() > 0))
    chosen = chosen.join(pl.DataFrame(columns), on="image_id", how="left", maintain_order="left")
    rows = chosen.to_dicts()
    places = [store.row_of(row["image_id"]) for row in rows]  # raises InputError for an image that is not stored
    regions = [_on_square(region(row, row["original_rows"], row["original_columns"]), row, store.size) for row in rows]
    keep = [place for place, each in enumerate(regions) if each.any()]
    without, small = len(positives) - len(chosen), len(chosen) - len(keep)
    if not keep:
        raise NoLocationError(
            f"{source}: none of {len(positives)} {split} images with the finding has a usable location "
            f"({without} without box or mask, {small} too small): grounding needs at least one",
            remedy=f"give label_images boxes or masks, or a larger {split} part, or list in the data set's "
            "`evaluations` what can be measured",
            why=f"no located positive in {split}",
        )
    kept = [rows[place] for place in keep]
    whole = [np.ones((row["original_rows"], row["original_columns"]), dtype=bool) for row in kept]
    lungs = None
    if all(row["lung_mask"] for row in kept):
        shapes = [(row["lung_mask"], row["original_rows"], row["original_columns"]) for row in kept]
        lungs = np.stack([_on_square(decode(*shape), row, store.size) for shape, row in zip(shapes, kept, strict=True)])
    return Located(
        labels=chosen[keep],
        pixels=store.gather(np.array([places[place] for place in keep])),
        regions=np.stack([regions[place] for place in keep]),
        content=np.stack([_on_square(each, row, store.size) for each, row in zip(whole, kept, strict=True)]),
        lungs=lungs,
        without_region=without,
        too_small=small,
    )


def _on_square(mask: Bool[np.ndarray, "rows columns"], row: dict, size: int) -> Bool[np.ndarray, "{size} {size}"]:
    return to_stored(mask, row["content_box"], size)

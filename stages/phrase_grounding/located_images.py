"""Images with a finding whose place is known, on the stored square."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Bool, Shaped, UInt8

from stages.common.errors import InputError
from stages.common.image_store import ImageStore
from stages.common.labelled_images import region, to_stored
from stages.common.run_lengths import decode
from stages.phrase_grounding.places import Place, place_of


@dataclass(frozen=True)
class Located:
    """Positives of one part."""

    labels: pl.DataFrame
    pixels: UInt8[np.ndarray, "images size size"]
    regions: Bool[np.ndarray, "images size size"]
    content: Bool[np.ndarray, "images size size"]  # inside the padding
    lungs: Bool[np.ndarray, "images size size"] | None  # None: unknown

    @cached_property
    def places(self) -> list[Place]:
        """Each finding in the words of a report."""
        frames = self.content if self.lungs is None else self.lungs
        return [place_of(own, frame) for own, frame in zip(self.regions, frames, strict=True)]

    def on_named_side(self) -> "Located":
        """The same images, each region cut down to what a phrase with its place speaks of."""
        return replace(self, regions=np.stack([place.part for place in self.places]))

    @property
    def resampled(self) -> tuple[str, Shaped[np.ndarray, "images"]]:
        """The unit of the bootstrap, and each image's own."""
        unit = "image" if self.labels["patient_id"].null_count() else "patient"
        return unit, self.labels[f"{unit}_id"].to_numpy()


def locate(labels: pl.DataFrame, store: ImageStore, split: str) -> Located:
    """Positives of one part whose region covers at least one stored pixel; none is an error."""
    columns = store.table.select(["image_id", "content_box", "original_rows", "original_columns"])
    chosen = labels.filter((pl.col("split") == split) & (pl.col("target") == 1))
    chosen = chosen.join(pl.from_arrow(columns), on="image_id", how="inner", maintain_order="left")
    rows = chosen.to_dicts()
    regions = [_on_square(region(row, row["original_rows"], row["original_columns"]), row, store.size) for row in rows]
    keep = [place for place, each in enumerate(regions) if each.any()]
    if not keep:
        raise InputError(f"labels: no {split} image has a box or mask of the finding; grounding needs them")
    kept = [rows[place] for place in keep]
    whole = [np.ones((row["original_rows"], row["original_columns"]), dtype=bool) for row in kept]
    lungs = None
    if all(row["lung_mask"] for row in kept):
        shapes = [(row["lung_mask"], row["original_rows"], row["original_columns"]) for row in kept]
        lungs = np.stack([_on_square(decode(*shape), row, store.size) for shape, row in zip(shapes, kept, strict=True)])
    return Located(
        labels=chosen[keep],
        pixels=store.gather(np.array([store.row_of(row["image_id"]) for row in kept])),
        regions=np.stack([regions[place] for place in keep]),
        content=np.stack([_on_square(each, row, store.size) for each, row in zip(whole, kept, strict=True)]),
        lungs=lungs,
    )


def _on_square(mask: Bool[np.ndarray, "rows columns"], row: dict, size: int) -> Bool[np.ndarray, "{size} {size}"]:
    return to_stored(mask, row["content_box"], size)

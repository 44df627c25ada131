"""Images and true masks of one part of a data set, both on the stored square."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Int, UInt8

from ..common.data.image_store import ImageStore
from ..common.data.labelled_images import region, to_stored
from ..common.data.run_lengths import decode, encode
from ..common.errors import InputError


@dataclass(frozen=True, eq=False)  # a key of what is kept of a part: the same object is the same images
class OutlinedImages:
    """Rows of LABELS whose finding is outlined, or absent.

    `runs` are run lengths over the stored square: the masks of 26,684 images of 512 x 512 would fill 7 GB.
    """

    labels: pl.DataFrame
    store: ImageStore
    runs: list[list[int]]

    def __len__(self) -> int:
        return len(self.runs)

    def images(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n stored stored"]:
        """Return the stored images of `rows`; 0 black, 255 white."""
        ids = self.labels["image_id"]
        return self.store.gather(np.array([self.store.row_of(ids[int(row)]) for row in rows]))

    def masks(self, rows: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n stored stored"]:
        """Return the masks of `rows`; True is the finding."""
        return np.stack([decode(self.runs[int(row)], self.store.size, self.store.size) for row in rows])

    @property
    def outlined(self) -> Bool[np.ndarray, "images"]:
        """Return which images have at least one pixel of the finding."""
        return np.array([len(each) > 0 for each in self.runs], dtype=bool)


def outline(labels: pl.DataFrame, store: ImageStore) -> OutlinedImages:
    """Return the masks of `labels` (LABELS), boxes filled, resized and padded as by dicom_to_arrow.

    A positive without any outline is left out, so `len` of the result may be smaller. A finding that covers less than
    half of every stored pixel has an empty mask.
    """
    known = labels.filter((pl.col("target") == 0) | pl.col("mask").is_not_null() | (pl.col("boxes").list.len() > 0))
    columns = ["content_box", "original_rows", "original_columns"]
    places = store.table.select(columns).take([store.row_of(each) for each in known["image_id"]]).to_pylist()
    runs = []
    for label, place in zip(known.iter_rows(named=True), places, strict=True):
        runs.append([] if label["target"] == 0 else _runs(label, place, store.size))
    return OutlinedImages(known, store, runs)


def _runs(label: dict, place: dict, size: int) -> list[int]:
    try:
        mask = region(label, place["original_rows"], place["original_columns"])
    except ValueError as error:
        raise InputError(f"mask of image {label['image_id']}: {error}", remedy="run label_images again") from None
    return encode(to_stored(mask, place["content_box"], size))


def refuse_upsampling(store: ImageStore, path: Path, input_size: int, allowed: bool) -> None:
    """Raise an InputError where stored images are smaller than the protocol's input, unless that is allowed."""
    if store.size < input_size and not allowed:
        raise InputError(
            f"{path}: images are stored at {store.size} pixels, but the protocol's input_size is {input_size}",
            remedy=f"set "
            f"`dicom_to_arrow: {{size: {input_size}}}` for {store.dataset}, or "
            "`few_shot_segmentation.allow_upsampling: true`",
        )

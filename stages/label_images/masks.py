"""Masks and boxes as distributed, checked against the size of their image: complaints name file, row and image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from stages.common.distributions import RSNA_LABELS, SIIM_RUN_LENGTHS
from stages.common.errors import InputError
from stages.common.run_lengths import encode
from stages.label_images.label_tables import DistributedLabel, Region
from stages.label_images.settings import LabelImagesSettings
from stages.label_images.siim_run_lengths import decode_siim


class Masks:
    """Turns the masks of one data set into row-major run lengths at the original size.

    `overlapping` counts the masks whose regions, a row each, share pixels.
    """

    def __init__(self, root: Path, settings: LabelImagesSettings) -> None:
        tables = {"rsna": RSNA_LABELS, "siim": SIIM_RUN_LENGTHS, "folder": settings.table}
        self._root = root
        self.source = root / str(tables[settings.layout])
        self._lung_source = root / str(settings.lung_masks)
        self.overlapping = 0

    def mask_of(self, image: Mapping[str, Any], label: DistributedLabel) -> list[int] | None:
        """None where there is no mask."""
        if label.regions:
            return self._merged(image, label.regions, self.source, "mask")
        return self._drawn(image, label, label.mask_file, "mask")

    def lungs_of(
        self, image: Mapping[str, Any], label: DistributedLabel, regions: Sequence[Region]
    ) -> list[int] | None:
        if regions:
            return self._merged(image, regions, self._lung_source, "lung mask")
        return self._drawn(image, label, label.lung_mask_file, "lung mask")

    def _merged(self, image: Mapping[str, Any], regions: Sequence[Region], source: Path, what: str) -> list[int]:
        rows, columns = image["original_rows"], image["original_columns"]
        union, pixels = np.zeros((rows, columns), dtype=bool), 0
        for row, text in regions:
            try:
                region = decode_siim(text, rows, columns)
            except ValueError as error:
                raise InputError(
                    f"{source}: row {row}: {what} of image {image['image_id']}: {error}; get the table again"
                ) from None
            union |= region
            pixels += int(region.sum())
        self.overlapping += pixels > int(union.sum())
        return encode(union)

    def _drawn(
        self, image: Mapping[str, Any], label: DistributedLabel, file: str | None, what: str
    ) -> list[int] | None:
        if file is None:
            return None
        try:
            return encode(_read_png(self._root / file, image["original_rows"], image["original_columns"]))
        except ValueError as error:
            where = f"{self.source}: row {label.row}: {what} of image {image['image_id']}"
            raise InputError(f"{where}: {error}; get or draw it again") from None


def _read_png(path: Path, rows: int, columns: int) -> Bool[np.ndarray, "rows columns"]:
    """Not 0 is inside. Raises ValueError, which names no file: names may identify people."""
    try:
        with Image.open(path) as picture:
            mask = np.asarray(picture.convert("L")) > 0
    except OSError:
        raise ValueError("its file is missing or no picture") from None
    if mask.shape != (rows, columns):
        raise ValueError(f"{mask.shape[0]} x {mask.shape[1]} pixels, but the image has {rows} x {columns}")
    return mask


def boxes_beyond_the_edge(image: Mapping[str, Any], label: DistributedLabel, source: Path) -> int:
    """How many boxes begin inside of the image and end outside; one that begins outside is an InputError."""
    beyond = 0
    for row, x, y, width, height in label.boxes:
        rows, columns = image["original_rows"], image["original_columns"]
        if x >= columns or y >= rows:
            raise InputError(
                f"{source}: row {row}: image {image['image_id']}: box {x:g} {y:g} {width:g} {height:g} lies outside "
                f"of its {columns} x {rows} pixels; correct it"
            )
        beyond += x + width > columns or y + height > rows
    return beyond

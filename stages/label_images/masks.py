"""Masks of a data set: run lengths or PNG files of the distribution, as row-major run lengths at the original size.

SIIM-ACR distributes run lengths `gap length gap length ...`, column-major, each gap counted from the previous end.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from ..common.data.index_tables import whole_number
from ..common.data.run_lengths import encode
from ..common.errors import InputError
from .contract import LabelImagesSettings
from .distributed_labels import DistributedLabel, FindingLabel, Region
from .mask_files import MaskError, read_mask


def decode_siim(text: str, rows: int, columns: int) -> Bool[np.ndarray, "rows columns"]:
    """Return the mask of one row of train-rle.csv.

    Raises ValueError where the text is not pairs of numbers or a run leaves the image of `rows` x `columns` pixels.
    """
    try:
        numbers = [whole_number(number) for number in text.split()]
    except ValueError:
        raise ValueError("the run lengths are not whole numbers") from None
    if len(numbers) % 2:
        raise ValueError("the run lengths are not pairs of gap and length")
    flat = np.zeros(rows * columns, dtype=bool)
    end = 0
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        start, end = end + gap, end + gap + length
        if gap < 0 or length <= 0:
            raise ValueError(f"a run of {length} after a gap of {gap} overlaps the run before it, or is empty")
        if end > flat.size:
            raise ValueError(
                f"a run of {length} after a gap of {gap} extends beyond the image of {rows} x {columns} pixels"
            )
        flat[start:end] = True
    return flat.reshape(columns, rows).T  # column-major: column after column


class Masks:
    """Converter of a data set's masks into row-major run lengths at the original size.

    `overlapping` counts the masks whose regions, one per row, share pixels.
    """

    def __init__(self, root: Path, settings: LabelImagesSettings, roots: tuple[Path, ...] = ()) -> None:
        self._root, self._roots = root, roots
        self.source = root / settings.main_table(root)
        self._lung_source = root / str(settings.lung_masks)
        self.overlapping = 0
        self._empty: list[str] = []

    def mask_of(self, image: Mapping[str, Any], label: FindingLabel) -> list[int] | None:
        """Return the run lengths of a finding's mask, or None where it has none."""
        if label.regions:
            return self._merged(image, label.regions, self.source, "mask")
        return self._drawn(image, label.mask_row, label.mask_file, "mask", bool(label.target))

    def lungs_of(
        self, image: Mapping[str, Any], label: DistributedLabel, regions: Sequence[Region]
    ) -> list[int] | None:
        """Return the run lengths of an image's lungs, or None where they are unknown."""
        if regions:
            return self._merged(image, regions, self._lung_source, "lung mask")
        return self._drawn(image, label.row, label.lung_mask_file, "lung mask", True)

    def _merged(self, image: Mapping[str, Any], regions: Sequence[Region], source: Path, what: str) -> list[int]:
        rows, columns = image["original_rows"], image["original_columns"]
        union, pixels = np.zeros((rows, columns), dtype=bool), 0
        for row, text in regions:
            try:
                region = decode_siim(text, rows, columns)
            except ValueError as error:
                raise InputError(
                    f"{source}: row {row}: {what} of image {image['image_id']}: {error}",
                    remedy="download the table again",
                ) from None
            union |= region
            pixels += int(region.sum())
        self.overlapping += pixels > int(union.sum())
        return encode(union)

    def _drawn(
        self, image: Mapping[str, Any], row: int, file: str | None, what: str, expected: bool
    ) -> list[int] | None:
        if file is None:
            return None
        where = f"{self.source}: row {row}: {what} of image {image['image_id']}"
        try:
            drawn = read_mask(self._root, file, image["original_rows"], image["original_columns"], self._roots)
            if not expected and drawn.any():
                raise MaskError("it has pixels of the finding, but the row says that it is absent")
        except MaskError as error:
            raise InputError(f"{where}: {error}", remedy=error.remedy) from None
        if not drawn.any() and expected:
            self._empty.append(f"{where}: it has no pixel")
            return None
        return encode(drawn)

    def warnings(self) -> list[str]:
        """Return a line about drawn masks without a pixel, which count as none."""
        if not self._empty:
            return []
        count = f"{len(self._empty)} such"
        return [f"{self._empty[0]} ({count}), so it is as if no mask was named; clear the cell, or draw the mask again"]

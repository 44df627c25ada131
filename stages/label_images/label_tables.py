"""Distributed labels: targets, boxes and masks, by distributed id, checked against the size of their image.

Errors name file, row and image. SIIM-ACR distributes run lengths `gap length gap length ...`, column-major, each gap
counted from the previous end.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool
from PIL import Image

from ..common.data.distributions import RSNA_LABELS, SIIM_RUN_LENGTHS, WHERE_TO_GET
from ..common.data.index_tables import read_index, refuse_duplicates, refuse_unsafe_paths, require_values
from ..common.data.run_lengths import encode
from ..common.errors import InputError
from .contract import LabelImagesSettings


def decode_siim(text: str, rows: int, columns: int) -> Bool[np.ndarray, "rows columns"]:
    """Return the mask of one row of train-rle.csv.

    Raises ValueError where the text is not pairs of numbers or a run leaves the image of `rows` x `columns` pixels.
    """
    try:
        numbers = [int(number) for number in text.split()]
    except ValueError:
        raise ValueError("the run lengths are not whole numbers") from None
    if len(numbers) % 2:
        raise ValueError("the run lengths are not pairs of gap and length")
    flat = np.zeros(rows * columns, dtype=bool)
    end = 0
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        start, end = end + gap, end + gap + length
        if gap < 0 or length < 0:
            raise ValueError(f"a run of {length} after a gap of {gap} overlaps the run before it, or is empty")
        if end > flat.size:
            raise ValueError(
                f"a run of {length} after a gap of {gap} extends beyond the image of {rows} x {columns} pixels"
            )
        flat[start:end] = True
    return flat.reshape(columns, rows).T  # column-major: column after column


NO_MASK = "-1"


class Box(NamedTuple):
    """Pixels of the original; `row` is the row of its table."""

    row: int
    x: float
    y: float
    width: float
    height: float


class Region(NamedTuple):
    """SIIM run lengths of one region; `row` is the row of its table."""

    row: int
    run_lengths: str


@dataclass(frozen=True)
class DistributedLabel:
    """Label of one image; `row` is the image's first one in its table.

    A mask is given as run lengths, one text per region, or as a PNG file.
    """

    row: int
    target: int
    boxes: tuple[Box, ...] = ()
    regions: tuple[Region, ...] = ()
    mask_file: str | None = None
    lung_mask_file: str | None = None
    license: str | None = None


def present_label_files(root: Path, settings: LabelImagesSettings) -> dict[str, Path]:
    """Return name -> path of the settings' tables. Raises InputError for a missing root or table."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder", remedy="correct the root of the data set")
    for name in settings.files():
        if not (root / name).is_file():
            raise InputError(f"{root / name}: no such table of labels", remedy=WHERE_TO_GET[settings.layout])
    return {name: root / name for name in settings.files()}


def read_labels(root: Path, settings: LabelImagesSettings) -> dict[str, DistributedLabel]:
    """Return the labels by distributed image id."""
    if settings.layout == "rsna":
        return _read_rsna(root)
    if settings.layout == "siim":
        rows, regions = read_run_lengths(root, SIIM_RUN_LENGTHS)
        return {image: DistributedLabel(row, int(bool(regions[image])), regions=regions[image])
                for image, row in rows.items()}  # fmt: skip
    return _read_folder(root, settings)


def read_run_lengths(root: Path, name: str) -> tuple[dict[str, int], dict[str, tuple[Region, ...]]]:
    """Return the first row and the regions of each image from a table with one row per region.

    "-1" (with or without blanks) and an empty cell mean no region. Raises InputError for an image with both, since one
    of its rows is wrong.
    """
    table = read_index(root, name, ["ImageId", "EncodedPixels"], WHERE_TO_GET["siim"])
    require_values(table, root / name, ["ImageId"])
    first: dict[str, int] = {}
    empty: dict[str, int] = {}
    regions: dict[str, tuple[Region, ...]] = {}
    for row, image, text in table.select("row", "ImageId", "EncodedPixels").iter_rows():
        first.setdefault(image, row)
        none = text in (None, NO_MASK)
        regions[image] = regions.get(image, ()) + (() if none else (Region(row, text),))
        if none:
            empty.setdefault(image, row)
        if regions[image] and image in empty:
            raise InputError(
                f"{root / name}: rows {empty[image]} and {regions[image][0].row}: image {image} has no region "
                "in the first but a region in the second",
                remedy="remove the row that is wrong",
            )
    return first, regions


def _read_rsna(root: Path) -> dict[str, DistributedLabel]:
    """Read one row per box; Target is 1 exactly where the row has a box."""
    source, place = root / RSNA_LABELS, ["x", "y", "width", "height"]
    table = read_index(root, RSNA_LABELS, ["patientId", *place, "Target"], WHERE_TO_GET["rsna"])
    require_values(table, source, ["patientId", "Target"])
    targets: dict[str, int] = {}
    first: dict[str, int] = {}
    boxes: dict[str, list[Box]] = defaultdict(list)
    for row, image, target, *box in table.select("row", "patientId", "Target", *place).iter_rows():
        where = f"{source}: row {row}: image {image}"
        if target not in ("0", "1"):
            raise InputError(f"{where}: Target is {target}, neither 0 nor 1", remedy="correct the row")
        if (target == "1") != (box != [None] * 4):
            raise InputError(f"{where}: Target must be 1 with a box or 0 without one", remedy="correct the row")
        if targets.setdefault(image, int(target)) != int(target):
            raise InputError(
                f"{where} has both Target 0 and 1 (first in row {first[image]})", remedy="correct its rows"
            )
        first.setdefault(image, row)
        if target == "1":
            boxes[image].append(parse_box(row, box, where))
    return {image: DistributedLabel(first[image], target, tuple(boxes[image])) for image, target in targets.items()}


def parse_box(row: int, cells: list[str | None], where: str) -> Box:
    """Read x, y, width, height. Raises InputError where one is not finite, or the box is empty or begins outside."""
    try:
        x, y, width, height = (float(cell) for cell in cells if cell is not None)
    except ValueError:
        raise InputError(f"{where}: a box is four numbers, x y width height", remedy="correct it") from None
    if not (0 <= x < 1e6 and 0 <= y < 1e6 and 0 < width < 1e6 and 0 < height < 1e6):
        raise InputError(
            f"{where}: box {x:g} {y:g} {width:g} {height:g} is empty or outside the image", remedy="correct it"
        )
    return Box(row, x, y, width, height)


def _read_folder(root: Path, settings: LabelImagesSettings) -> dict[str, DistributedLabel]:
    name, columns = settings.table, settings.columns
    assert name is not None, "the settings' validator saw to it"
    assert columns is not None
    source, show = root / name, settings.identifier_kind == "distributed"
    table = read_index(root, name, columns.names(), WHERE_TO_GET["folder"])
    image_id = columns.image_id or columns.image
    require_values(table, source, [image_id])
    refuse_duplicates(table, source, image_id, show=show)
    for column in (columns.mask, columns.lung_mask):
        if column is not None:
            refuse_unsafe_paths(table[column], table["row"], source)
    known = [*settings.positive_values, *settings.negative_values]
    labels = {}
    for row in table.filter(pl.col(columns.target).is_not_null()).iter_rows(named=True):
        target, number = row[columns.target], row["row"]
        where = f"{source}: row {number}" + (f": image {row[image_id]}" if show else "")
        if target in settings.unlabelled_values:
            continue
        if target not in known:
            raise InputError(
                f"{where}: {columns.target} is {target!r}, not one of {known}",
                remedy="correct it, or add it to positive_values, negative_values or unlabelled_values",
            )
        labels[row[image_id]] = DistributedLabel(
            row=number,
            target=int(target in settings.positive_values),
            boxes=_parse_boxes(number, row[columns.boxes], where) if columns.boxes else (),
            mask_file=row[columns.mask] if columns.mask else None,
            lung_mask_file=row[columns.lung_mask] if columns.lung_mask else None,
            license=row[columns.license] or "not stated" if columns.license else None,
        )
    return labels


def _parse_boxes(row: int, cell: str | None, where: str) -> tuple[Box, ...]:
    return tuple(parse_box(row, list(box.split()), where) for box in (cell or "").split(";") if box.strip())


class Masks:
    """Converter of a data set's masks into row-major run lengths at the original size.

    `overlapping` counts the masks whose regions, one per row, share pixels.
    """

    def __init__(self, root: Path, settings: LabelImagesSettings) -> None:
        tables = {"rsna": RSNA_LABELS, "siim": SIIM_RUN_LENGTHS, "folder": settings.table}
        self._root = root
        self.source = root / str(tables[settings.layout])
        self._lung_source = root / str(settings.lung_masks)
        self.overlapping = 0

    def mask_of(self, image: Mapping[str, Any], label: DistributedLabel) -> list[int] | None:
        """Return the run lengths of an image's mask, or None where it has none."""
        if label.regions:
            return self._merged(image, label.regions, self.source, "mask")
        return self._drawn(image, label, label.mask_file, "mask")

    def lungs_of(
        self, image: Mapping[str, Any], label: DistributedLabel, regions: Sequence[Region]
    ) -> list[int] | None:
        """Return the run lengths of an image's lungs, or None where they are unknown."""
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
                    f"{source}: row {row}: {what} of image {image['image_id']}: {error}",
                    remedy="download the table again",
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
            raise InputError(f"{where}: {error}", remedy="download or draw it again") from None


def _read_png(path: Path, rows: int, columns: int) -> Bool[np.ndarray, "rows columns"]:
    """Read a mask whose non-zero pixels are inside.

    Raises ValueError, which does not name the file, since names may identify people.
    """
    try:
        with Image.open(path) as picture:
            mask = np.asarray(picture.convert("L")) > 0
    except OSError:
        raise ValueError("the file is missing or not an image") from None
    if mask.shape != (rows, columns):
        raise ValueError(f"{mask.shape[0]} x {mask.shape[1]} pixels, but the image has {rows} x {columns}")
    return mask


def boxes_beyond_the_edge(image: Mapping[str, Any], label: DistributedLabel, source: Path) -> int:
    """Return how many boxes begin inside the image and end outside. Raises InputError for one that begins outside."""
    beyond = 0
    for row, x, y, width, height in label.boxes:
        rows, columns = image["original_rows"], image["original_columns"]
        if x >= columns or y >= rows:
            raise InputError(
                f"{source}: row {row}: image {image['image_id']}: box {x:g} {y:g} {width:g} {height:g} lies outside "
                f"its {columns} x {rows} pixels",
                remedy="correct it",
            )
        beyond += x + width > columns or y + height > rows
    return beyond

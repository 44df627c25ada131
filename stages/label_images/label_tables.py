"""Distributed labels: targets, boxes and masks, by distributed id, checked against the size of their image.

Errors name file, row and image. SIIM-ACR distributes run lengths `gap length gap length ...`, column-major, each gap
counted from the previous end.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from ..common.data.distributions import WHERE_TO_GET, not_there
from ..common.data.index_tables import (
    plain_paths,
    read_index,
    refuse_duplicates,
    refuse_unsafe_paths,
    require_values,
    whole_number,
)
from ..common.data.own_tables import DISTRIBUTED, TableFormat
from ..common.data.run_lengths import encode
from ..common.data.table_files import ROW
from ..common.errors import InputError
from .boxes import Box, parse_box, parse_boxes
from .contract import LabelColumns, LabelImagesSettings
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


NO_MASK = "-1"


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


@dataclass(frozen=True)
class LabelTable:
    """The labels of a table by image id, and the rows of images without one: declared so, or with a blank cell."""

    labels: dict[str, DistributedLabel]
    unlabelled: dict[str, int] = field(default_factory=dict)
    blank: dict[str, int] = field(default_factory=dict)

    def renamed(self, rename: Callable[[str], str]) -> "LabelTable":
        """Return the table with other ids."""
        return LabelTable(
            {rename(image): label for image, label in self.labels.items()},
            {rename(image): row for image, row in self.unlabelled.items()},
            {rename(image): row for image, row in self.blank.items()},
        )


def present_label_files(root: Path, settings: LabelImagesSettings) -> dict[str, Path]:
    """Return name -> path of the settings' tables. Raises InputError for a missing root or table."""
    if not root.is_dir():
        raise not_there(root, "no such folder", "correct the root of the data set")
    for name in settings.files(root):
        if not (root / name).is_file():
            raise not_there(root / name, "no such table of labels", WHERE_TO_GET[settings.layout])
    return {name: root / name for name in settings.files(root)}


def read_labels(root: Path, settings: LabelImagesSettings) -> LabelTable:
    """Return the labels by distributed image id."""
    name = settings.main_table(root)
    if settings.layout == "rsna":
        return LabelTable(_read_rsna(root, name, settings.show))
    if settings.layout == "siim":
        rows, regions = read_run_lengths(root, name, settings.show)
        return LabelTable({image: DistributedLabel(row, int(bool(regions[image])), regions=regions[image])
                           for image, row in rows.items()})  # fmt: skip
    return _read_folder(root, settings)


def read_run_lengths(
    root: Path, name: str, show: bool, form: TableFormat = DISTRIBUTED
) -> tuple[dict[str, int], dict[str, tuple[Region, ...]]]:
    """Return the first row and the regions of each image from a table with one row per region.

    "-1" (with or without blanks) and an empty cell mean no region. Raises InputError for an image with both, since one
    of its rows is wrong.
    """
    table = read_index(root, name, ["ImageId", "EncodedPixels"], WHERE_TO_GET["siim"], show, form)
    require_values(table, root / name, ["ImageId"])
    first: dict[str, int] = {}
    empty: dict[str, int] = {}
    regions: dict[str, tuple[Region, ...]] = {}
    for row, image, text in table.select(ROW, "ImageId", "EncodedPixels").iter_rows():
        first.setdefault(image, row)
        none = text in (None, NO_MASK)
        regions[image] = regions.get(image, ()) + (() if none else (Region(row, text),))
        if none:
            empty.setdefault(image, row)
        if regions[image] and image in empty:
            named = f"image {image}" if show else "the same image"
            raise InputError(
                f"{root / name}: rows {empty[image]} and {regions[image][0].row}: {named} has no region "
                "in the first but a region in the second",
                remedy="remove the row that is wrong",
            )
    return first, regions


def _read_rsna(root: Path, name: str, show: bool) -> dict[str, DistributedLabel]:
    """Read one row per box; Target is 1 exactly where the row has a box."""
    source, place = root / name, ["x", "y", "width", "height"]
    table = read_index(root, name, ["patientId", *place, "Target"], WHERE_TO_GET["rsna"], show)
    require_values(table, source, ["patientId", "Target"])
    targets: dict[str, int] = {}
    first: dict[str, int] = {}
    boxes: dict[str, list[Box]] = defaultdict(list)
    for row, image, target, *box in table.select(ROW, "patientId", "Target", *place).iter_rows():
        where = _where(source, row, image, show)
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


def _where(source: Path, row: int, image: str, show: bool) -> str:
    return f"{source}: row {row}" + (f": image {image}" if show else "")


def _read_folder(root: Path, settings: LabelImagesSettings) -> LabelTable:
    """Read one row per image."""
    name, columns = settings.main_table(), settings.columns
    assert columns is not None, "the settings' validator saw to it"
    source, show = root / name, settings.show
    table = read_index(root, name, columns.names(), WHERE_TO_GET["folder"], show, settings.own_format)
    image_id = columns.image_id or columns.image
    table = table.with_columns(plain_paths(columns.image))  # as index_inputs, whose ids these are
    require_values(table, source, [image_id])
    refuse_duplicates(table, source, image_id, show=show)
    for column in (columns.mask, columns.lung_mask):
        if column is not None:
            refuse_unsafe_paths(table[column], table[ROW], source)
    values = (settings.positive_values, settings.negative_values, settings.unlabelled_values)
    positive, negative, unlabelled = ({value.strip() for value in each} for each in values)
    read = LabelTable({})
    for row in table.iter_rows(named=True):
        image, number, target = row[image_id], row[ROW], row[columns.target] or ""
        where = _where(source, number, image, show)
        if target in unlabelled:
            read.unlabelled[image] = number
        elif target in positive | negative:
            read.labels[image] = _label_of(row, target in positive, columns, where)
        elif not target:
            read.blank[image] = number
        else:
            raise InputError(
                f"{where}: {columns.target} is {target!r}, not one of {[*values[0], *values[1]]}",
                remedy="correct it, or add it to positive_values, negative_values or unlabelled_values",
            )
    return read


def _label_of(row: Mapping[str, Any], positive: bool, columns: LabelColumns, where: str) -> DistributedLabel:
    """Return the label of a row of a folder's table. Raises InputError where a negative row has a box."""
    boxes = parse_boxes(row[ROW], row[columns.boxes], where) if columns.boxes else ()
    if boxes and not positive:
        raise InputError(
            f"{where}: a box, but {columns.target} is {row[columns.target] or ''!r}, which means absent",
            remedy="correct the row",
        )
    return DistributedLabel(
        row=row[ROW],
        target=int(positive),
        boxes=boxes,
        mask_file=row[columns.mask] if columns.mask else None,
        lung_mask_file=row[columns.lung_mask] if columns.lung_mask else None,
        license=row[columns.license] or "not stated" if columns.license else None,
    )


class Masks:
    """Converter of a data set's masks into row-major run lengths at the original size.

    `overlapping` counts the masks whose regions, one per row, share pixels.
    """

    def __init__(self, root: Path, settings: LabelImagesSettings) -> None:
        self._root = root
        self.source = root / settings.main_table(root)
        self._lung_source = root / str(settings.lung_masks)
        self.overlapping = 0
        self._empty: list[str] = []

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
        where = f"{self.source}: row {label.row}: {what} of image {image['image_id']}"
        try:
            drawn = read_mask(self._root, file, image["original_rows"], image["original_columns"])
            if what == "mask" and not label.target and drawn.any():
                raise MaskError("it has pixels of the finding, but the row says that it is absent")
        except MaskError as error:
            raise InputError(f"{where}: {error}", remedy=error.remedy) from None
        if not drawn.any() and (label.target or what != "mask"):
            self._empty.append(f"{where}: it has no pixel")
            return None
        return encode(drawn)

    def warnings(self) -> list[str]:
        """Return a line about drawn masks without a pixel, which count as none."""
        if not self._empty:
            return []
        count = f"{len(self._empty)} such"
        return [f"{self._empty[0]} ({count}), so it is as if no mask was named; clear the cell, or draw the mask again"]

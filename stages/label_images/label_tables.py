"""The label tables as distributed, one record an image, in distributed ids; masks are still text or file names."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from stages.common.distributions import RSNA_LABELS, SIIM_RUN_LENGTHS, WHERE_TO_GET
from stages.common.errors import InputError
from stages.common.index_tables import read_index, refuse_duplicates, refuse_unsafe_paths, require_values
from stages.label_images.settings import LabelImagesSettings

NO_MASK = "-1"


class Box(NamedTuple):
    """Pixels of the original; `row` is that of its table."""

    row: int
    x: float
    y: float
    width: float
    height: float


class Region(NamedTuple):
    """SIIM run lengths of one region; `row` is that of its table."""

    row: int
    run_lengths: str


@dataclass(frozen=True)
class DistributedLabel:
    """A mask comes as run lengths, a text a region, or as a PNG file. `row` is the image's first one in its table."""

    row: int
    target: int
    boxes: tuple[Box, ...] = ()
    regions: tuple[Region, ...] = ()
    mask_file: str | None = None
    lung_mask_file: str | None = None
    license: str | None = None


def present_label_files(root: Path, settings: LabelImagesSettings) -> dict[str, Path]:
    """Name -> path of the settings' tables; a missing root or table is an InputError."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; correct the root of the data set")
    for name in settings.files():
        if not (root / name).is_file():
            raise InputError(f"{root / name}: no such table of labels; {WHERE_TO_GET[settings.layout]}")
    return {name: root / name for name in settings.files()}


def read_labels(root: Path, settings: LabelImagesSettings) -> dict[str, DistributedLabel]:
    """Labels by distributed image id."""
    if settings.layout == "rsna":
        return _read_rsna(root)
    if settings.layout == "siim":
        rows, regions = read_run_lengths(root, SIIM_RUN_LENGTHS)
        return {image: DistributedLabel(row, int(bool(regions[image])), regions=regions[image])
                for image, row in rows.items()}  # fmt: skip
    return _read_folder(root, settings)


def read_run_lengths(root: Path, name: str) -> tuple[dict[str, int], dict[str, tuple[Region, ...]]]:
    """First row and regions of each image, a row a region; "-1" (with or without blanks) and an empty cell are none.

    An image with both is an InputError: one of its rows is wrong.
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
                f"{root / name}: rows {empty[image]} and {regions[image][0].row}: image {image} has no region in one "
                "and a region in the other; remove the row that is wrong"
            )
    return first, regions


def _read_rsna(root: Path) -> dict[str, DistributedLabel]:
    """A row a box; Target is 1 exactly where the row has a box."""
    source, place = root / RSNA_LABELS, ["x", "y", "width", "height"]
    table = read_index(root, RSNA_LABELS, ["patientId", *place, "Target"], WHERE_TO_GET["rsna"])
    require_values(table, source, ["patientId", "Target"])
    targets: dict[str, int] = {}
    first: dict[str, int] = {}
    boxes: dict[str, list[Box]] = defaultdict(list)
    for row, image, target, *box in table.select("row", "patientId", "Target", *place).iter_rows():
        where = f"{source}: row {row}: image {image}"
        if target not in ("0", "1"):
            raise InputError(f"{where}: Target is {target}, neither 0 nor 1; correct the row")
        if (target == "1") != (box != [None] * 4):
            raise InputError(f"{where}: Target must be 1 with a box or 0 without one; correct the row")
        if targets.setdefault(image, int(target)) != int(target):
            raise InputError(f"{where} has Target 0 and 1 (first in row {first[image]}); correct its rows")
        first.setdefault(image, row)
        if target == "1":
            boxes[image].append(parse_box(row, box, where))
    return {image: DistributedLabel(first[image], target, tuple(boxes[image])) for image, target in targets.items()}


def parse_box(row: int, cells: list[str | None], where: str) -> Box:
    """x, y, width, height: finite, width and height positive, the corner not left of or above the image."""
    try:
        x, y, width, height = (float(cell) for cell in cells if cell is not None)
    except ValueError:
        raise InputError(f"{where}: a box is four numbers, x y width height; correct it") from None
    if not (0 <= x < 1e6 and 0 <= y < 1e6 and 0 < width < 1e6 and 0 < height < 1e6):
        raise InputError(f"{where}: box {x:g} {y:g} {width:g} {height:g} is empty or outside of the image; correct it")
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
                f"{where}: {columns.target} is {target!r}, which is none of {known}; correct it, or add it to "
                "positive_values, negative_values or unlabelled_values"
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

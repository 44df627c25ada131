"""The label tables as distributed, one record an image, in distributed ids; masks are still text or file names."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from stages.common.distributions import RSNA_LABELS, SIIM_RUN_LENGTHS, WHERE_TO_GET
from stages.common.errors import InputError
from stages.common.index_tables import read_index, refuse_duplicates, refuse_unsafe_paths, require_values
from stages.label_images.settings import LabelImagesSettings

NO_MASK = "-1"


@dataclass(frozen=True)
class DistributedLabel:
    """Boxes are x, y, width, height in pixels of the original. A mask comes as SIIM run lengths or as a PNG file."""

    target: int
    boxes: tuple[tuple[float, ...], ...] = ()
    run_lengths: tuple[str, ...] = ()
    mask_file: str | None = None
    lung_mask_file: str | None = None
    license: str | None = None


def label_files(settings: LabelImagesSettings) -> list[str]:
    """Names, relative to the root, of the tables that must exist."""
    main = {"rsna": RSNA_LABELS, "siim": SIIM_RUN_LENGTHS, "folder": settings.table}[settings.layout]
    return [name for name in (main, settings.patients, settings.lung_masks) if name is not None]


def present_label_files(root: Path, settings: LabelImagesSettings) -> dict[str, Path]:
    """Name -> path of `label_files`; a missing root or table is an InputError."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; correct the root of the data set")
    for name in label_files(settings):
        if not (root / name).is_file():
            raise InputError(f"{root / name}: no such table of labels; {WHERE_TO_GET[settings.layout]}")
    return {name: root / name for name in label_files(settings)}


def read_labels(root: Path, settings: LabelImagesSettings) -> dict[str, DistributedLabel]:
    """Labels by distributed image id."""
    if settings.layout == "rsna":
        return _read_rsna(root)
    if settings.layout == "siim":
        runs = read_run_lengths(root, SIIM_RUN_LENGTHS)
        return {image: DistributedLabel(int(bool(texts)), run_lengths=texts) for image, texts in runs.items()}
    return _read_folder(root, settings)


def read_run_lengths(root: Path, name: str) -> dict[str, tuple[str, ...]]:
    """Run lengths by image, a text a region; "-1" (with or without blanks) and an empty cell are no region."""
    table = read_index(root, name, ["ImageId", "EncodedPixels"], WHERE_TO_GET["siim"])
    require_values(table, root / name, ["ImageId"])
    regions: dict[str, tuple[str, ...]] = {}
    for image, text in table.select("ImageId", "EncodedPixels").iter_rows():
        regions[image] = regions.get(image, ()) + (() if text in (None, NO_MASK) else (text,))
    return regions


def _read_rsna(root: Path) -> dict[str, DistributedLabel]:
    """A row a box; Target is 1 exactly where the row has a box."""
    source, place = root / RSNA_LABELS, ["x", "y", "width", "height"]
    table = read_index(root, RSNA_LABELS, ["patientId", *place, "Target"], WHERE_TO_GET["rsna"])
    require_values(table, source, ["patientId", "Target"])
    targets: dict[str, int] = {}
    boxes: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for row, image, target, *box in table.select("row", "patientId", "Target", *place).iter_rows():
        if target not in ("0", "1") or (target == "1") != (box != [None] * 4):
            raise InputError(f"{source}: row {row}: Target must be 1 with a box or 0 without one; correct the row")
        if targets.setdefault(image, int(target)) != int(target):
            raise InputError(f"{source}: row {row}: image {image} has Target 0 and 1; correct its rows")
        if target == "1":
            boxes[image].append(parse_box(box, f"{source}: row {row}"))
    return {image: DistributedLabel(target, tuple(boxes[image])) for image, target in targets.items()}


def parse_box(cells: list[str | None], where: str) -> tuple[float, ...]:
    """x, y, width, height: finite, width and height positive, the corner not left of or above the image."""
    try:
        x, y, width, height = (float(cell) for cell in cells if cell is not None)
    except ValueError:
        raise InputError(f"{where}: a box is four numbers, x y width height; correct it") from None
    if not (0 <= x < 1e6 and 0 <= y < 1e6 and 0 < width < 1e6 and 0 < height < 1e6):
        raise InputError(f"{where}: box {x:g} {y:g} {width:g} {height:g} is empty or outside of the image; correct it")
    return x, y, width, height


def _read_folder(root: Path, settings: LabelImagesSettings) -> dict[str, DistributedLabel]:
    name, columns = settings.table, settings.columns
    assert name is not None, "the settings' validator saw to it"
    assert columns is not None
    source = root / name
    table = read_index(root, name, columns.names(), WHERE_TO_GET["folder"])
    image_id = columns.image_id or columns.image
    require_values(table, source, [image_id])
    refuse_duplicates(table, source, image_id, show=settings.identifier_kind == "distributed")
    for column in (columns.mask, columns.lung_mask):
        if column is not None:
            refuse_unsafe_paths(table[column], table["row"], source)
    labels = {}
    for row in table.filter(pl.col(columns.target).is_not_null()).iter_rows(named=True):
        boxes = _parse_boxes(row[columns.boxes], f"{source}: row {row['row']}") if columns.boxes else ()
        labels[row[image_id]] = DistributedLabel(
            target=int(row[columns.target] in settings.positive_values),
            boxes=boxes,
            mask_file=row[columns.mask] if columns.mask else None,
            lung_mask_file=row[columns.lung_mask] if columns.lung_mask else None,
            license=row[columns.license] or "not stated" if columns.license else None,
        )
    return labels


def _parse_boxes(cell: str | None, where: str) -> tuple[tuple[float, ...], ...]:
    return tuple(parse_box(list(box.split()), where) for box in (cell or "").split(";") if box.strip())

"""Tables of labels as distributed, read by distributed id; errors name file, row and image."""

from collections import defaultdict
from pathlib import Path

from ..common.data.distributions import WHERE_TO_GET, not_there
from ..common.data.index_tables import read_index, require_values
from ..common.data.own_tables import DISTRIBUTED, TableFormat
from ..common.data.table_files import ROW
from ..common.errors import InputError
from ..common.files.archives import is_dir, is_file
from .boxes import Box, parse_box
from .contract import LabelImagesSettings
from .distributed_labels import DistributedLabel, FindingLabel, LabelTable, Region, row_of
from .folder_labels import read_folder

NO_MASK = "-1"


def present_label_files(root: Path, settings: LabelImagesSettings) -> dict[str, Path]:
    """Return name -> path of the settings' tables. Raises InputError for a missing root or table."""
    if not is_dir(root):
        raise not_there(root, "no such folder", "correct the root of the data set")
    for name in settings.files(root):
        if not is_file(root / name):
            raise not_there(root / name, "no such table of labels", WHERE_TO_GET[settings.layout])
    return {name: root / name for name in settings.files(root)}


def read_labels(root: Path, settings: LabelImagesSettings, roots: tuple[Path, ...] = ()) -> LabelTable:
    """Return the labels by distributed image id; a tree reaches over `roots`, too."""
    name = settings.main_table(root)
    if settings.layout == "folder":
        return read_folder(root, settings, roots)
    if settings.layout == "rsna":
        first, found = _read_rsna(root, name, settings.show)
    else:
        first, regions = read_run_lengths(root, name, settings.show)
        found = {image: FindingLabel(int(bool(each)), regions=each) for image, each in regions.items()}
    [finding] = settings.by_finding
    return LabelTable({image: DistributedLabel(row, {finding: found[image]}) for image, row in first.items()})


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


def _read_rsna(root: Path, name: str, show: bool) -> tuple[dict[str, int], dict[str, FindingLabel]]:
    """Return the first row and the label of each image, with one row per box; Target is 1 where the row has a box."""
    source, place = root / name, ["x", "y", "width", "height"]
    table = read_index(root, name, ["patientId", *place, "Target"], WHERE_TO_GET["rsna"], show)
    require_values(table, source, ["patientId", "Target"])
    targets: dict[str, int] = {}
    first: dict[str, int] = {}
    boxes: dict[str, list[Box]] = defaultdict(list)
    for row, image, target, *box in table.select(ROW, "patientId", "Target", *place).iter_rows():
        where = row_of(source, row, image, show)
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
    return first, {image: FindingLabel(target, tuple(boxes[image])) for image, target in targets.items()}

"""A split of one's own: lists of images, a CSV a part or one CSV for all, followed as they are, for better or worse.

An image that a list repeats is one image. One that is in two parts (lists of SIIM that circulate split rows, not
images) stays in both: audit_splits refuses that, or lets its number stand beside every figure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.common.errors import InputError
from stages.common.index_tables import read_index, require_values
from stages.label_images.image_labels import Identify, ImageLabels, identifying
from stages.label_images.label_split import PARTS
from stages.label_images.settings import LabelImagesSettings, SplitLists

# What lists call the parts.
_NAMES = dict.fromkeys(("train", "training"), "train") | dict.fromkeys(("test", "testing"), "test")
_NAMES |= dict.fromkeys(("validation", "validate", "valid", "val", "dev"), "validation")


@dataclass(frozen=True)
class ListedSplit:
    """`rows` has a row for every part that an image is in; the rest are carried ids that were left out."""

    rows: list[dict[str, Any]]
    images_in_no_list: list[str]
    listed_without_image: list[str]


def follow_lists(labels: ImageLabels, root: Path, settings: LabelImagesSettings, private: Path | None) -> ListedSplit:
    """The labelled rows with the part that the lists give them.

    An id that neither the labels nor the images know is an InputError that names file, row and id (keyed where
    identifiers are): most often a list is of another data set, or its ids stand in another column.
    """
    lists = settings.split_lists
    assert lists is not None
    parts = _parts_of(root, lists, identifying(settings, private))
    known = {row["image_id"] for row in labels.rows}
    lost = {*labels.labels_without_image, *labels.images_without_label}
    unknown = [(image, *place) for image, (_, place) in parts.items() if image not in known | lost]
    if unknown:
        image, source, row = unknown[0]
        raise InputError(
            f"{source}: row {row}: image {image} is in neither the labels nor the images ({len(unknown)} such); "
            "correct the list, or `split_lists.image_id`"
        )
    rows = [
        row | {"split": part} for row in labels.rows for part in PARTS if part in parts.get(row["image_id"], ((),))[0]
    ]
    for part in PARTS:
        if not any(row["split"] == part for row in rows):
            raise InputError(f"{root}: `split_lists` leave no labelled image to {part}; each part needs some")
    return ListedSplit(rows, sorted(known - parts.keys()), sorted(lost & parts.keys()))


_Place = tuple[Path, int]  # file and row


def _parts_of(root: Path, lists: SplitLists, identify: Identify) -> dict[str, tuple[set[str], _Place]]:
    """Carried id -> the parts it is listed in, and where it is listed first."""
    found: dict[str, tuple[set[str], _Place]] = {}
    for name, part in _files(lists).items():
        source = root / name
        columns = [lists.image_id] if part else [lists.image_id, lists.split]
        table = read_index(root, name, columns)
        require_values(table, source, columns)
        for row, distributed, *cell in table.select("row", *columns).iter_rows():
            named = part or _NAMES.get(cell[0].lower())
            if named is None:
                raise InputError(
                    f"{source}: row {row}: {lists.split} is {cell[0]!r}; name train, validation or test, or remove it"
                )
            image = identify(distributed, "image")
            found.setdefault(image, (set(), (source, row)))[0].add(named)
    return found


def _files(lists: SplitLists) -> Mapping[str, str | None]:
    """File -> its part, or None where a column names it. A file that serves two parts is an InputError."""
    if lists.table is not None:
        return {lists.table: None}
    each: Sequence[tuple[str, str]] = [(str(getattr(lists, part)), part) for part in PARTS]
    if len(dict(each)) < len(each):
        raise InputError("split_lists: one file is named for two parts; name three files, or `table`")
    return dict(each)

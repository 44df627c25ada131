"""What the rows of an image say, and what several readers of it agree on: findings by vote, boxes by overlap."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np

from .boxes import Box
from .distributed_labels import FindingLabel
from .label_columns import Readers

Meaning = Literal["present", "absent", "uncertain", "unlabelled", "blank"]


@dataclass
class ImageRows:
    """Hold what the rows of an image say; `meanings` are by finding, `rest` is that of findings which no row names."""

    row: int
    meanings: dict[str, Meaning] = field(default_factory=dict)
    rest: Meaning = "blank"
    outlines: dict[str, FindingLabel] = field(default_factory=dict)
    lung_mask_file: str | None = None
    license: str | None = None
    normal: bool = False  # a row says that no finding is present


def agreed(read: Sequence[ImageRows], findings: Sequence[str], readers: Readers) -> ImageRows:
    """Return what the readers of an image agree on; `read` holds the rows of each.

    A finding on which fewer agree is absent; one of which no reader says anything stays without label.
    """
    result = ImageRows(
        read[0].row,
        lung_mask_file=next((each.lung_mask_file for each in read if each.lung_mask_file), None),
        license=next((each.license for each in read if each.license), None),
    )
    for finding in findings:
        result.meanings[finding] = _vote([each.meanings.get(finding, each.rest) for each in read], readers.agree)
        drawn = [each.outlines[finding].boxes for each in read if finding in each.outlines]
        boxes = agreed_boxes(drawn, readers.agree, readers.iou)
        if boxes and result.meanings[finding] in ("present", "uncertain"):
            result.outlines[finding] = FindingLabel(1, boxes)
    return result


def _vote(meanings: Sequence[Meaning], agree: int) -> Meaning:
    present, uncertain = (meanings.count(meaning) for meaning in ("present", "uncertain"))
    if present >= agree:
        return "present"
    if present + uncertain >= agree:
        return "uncertain"
    return "absent" if present or uncertain or "absent" in meanings else meanings[0]


def agreed_boxes(drawn: Sequence[Sequence[Box]], agree: int, iou: float) -> tuple[Box, ...]:
    """Return the boxes of one finding that at least `agree` readers drew, each the mean of theirs.

    `drawn` are the boxes of each reader. Pairs of different readers become one, the most similar first, as long as the
    means of their groups overlap by at least `iou` and no reader is twice in a group; the order of readers and rows
    does not matter.
    """
    size = next((box.size for boxes in drawn for box in boxes), None)
    every = sorted((_drawn_on(size, box)[1:5], reader, box.row) for reader, boxes in enumerate(drawn) for box in boxes)
    group_of = [{reader: Box(row, *sides, size)} for sides, reader, row in every]
    pairs = sorted(
        (-overlap(Box(0, *one), Box(0, *other)), one, other, left, right)
        for (left, (one, reader, _)), (right, (other, another, _)) in combinations(enumerate(every), 2)
        if reader != another
    )
    for negative, _, _, left, right in pairs:
        one, other = group_of[left], group_of[right]
        if -negative < iou or one is other or one.keys() & other.keys() or overlap(_mean(one), _mean(other)) < iou:
            continue
        one.update(other)
        group_of = [one if group is other else group for group in group_of]
    groups = {id(group): group for group in group_of}.values()
    return tuple(sorted((_mean(group) for group in groups if len(group) >= agree), key=lambda box: box[1:5]))


def _drawn_on(size: tuple[float, float] | None, box: Box) -> Box:
    """Return a box in pixels of an image of `size`; readers may have seen images of different sizes."""
    if size is None or box.size is None or box.size == size:
        return box
    return box.scaled(size[0] / box.size[0], size[1] / box.size[1])._replace(size=size)


def _mean(group: dict[int, Box]) -> Box:
    boxes = list(group.values())
    x, y, width, height = np.mean([box[1:5] for box in boxes], axis=0).tolist()
    return Box(min(box.row for box in boxes), x, y, width, height, boxes[0].size)


def overlap(one: Box, other: Box) -> float:
    """Return the intersection of two boxes over their union."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    both = max(width, 0) * max(height, 0)
    return both / (one.width * one.height + other.width * other.height - both)

"""Boxes of distributed labels: parsed, and checked against the size of their image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..common.data.index_tables import decimal_number
from ..common.errors import InputError


class Box(NamedTuple):
    """Pixels of the original; `row` is the row of its table."""

    row: int
    x: float
    y: float
    width: float
    height: float


def parse_box(row: int, cells: Sequence[str | None], where: str) -> Box:
    """Read x, y, width, height. Raises InputError where one is not finite, or the box is empty or begins outside."""
    try:
        x, y, width, height = (decimal_number(cell) for cell in cells if cell is not None)
    except ValueError:
        raise InputError(f"{where}: a box is four numbers, x y width height", remedy="correct it") from None
    if not (0 <= x < 1e6 and 0 <= y < 1e6 and 0 < width < 1e6 and 0 < height < 1e6):
        raise InputError(
            f"{where}: box {x:g} {y:g} {width:g} {height:g} is empty or outside the image", remedy="correct it"
        )
    return Box(row, x, y, width, height)


def parse_boxes(row: int, cell: str | None, where: str) -> tuple[Box, ...]:
    """Read the boxes of a cell, separated by ';'."""
    return tuple(parse_box(row, box.split(), where) for box in (cell or "").split(";") if box.strip())


@dataclass
class BoxesAtTheEdge:
    """The boxes of a data set that leave their image: `outside` begin there, `beyond` only end there."""

    source: Path
    boxes: int = 0
    outside: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)

    def add(self, image: Mapping[str, Any], boxes: Sequence[Box]) -> None:
        """Compare the boxes of an image, which has image_id, original_rows and original_columns."""
        rows, columns = image["original_rows"], image["original_columns"]
        self.boxes += len(boxes)
        for row, x, y, width, height in boxes:
            box = f"{self.source}: row {row}: image {image['image_id']}: box {x:g} {y:g} {width:g} {height:g}"
            if x >= columns or y >= rows:
                self.outside.append(f"{box} lies outside its {columns} x {rows} pixels")
            elif x + width > columns or y + height > rows:
                self.beyond.append(f"{box} extends beyond its {columns} x {rows} pixels")

    def refuse_outside(self) -> None:
        """Raise an InputError if a box begins outside its image, or if all boxes leave theirs."""
        leave = [*self.outside, *self.beyond]
        if leave and len(leave) == self.boxes:
            as_all = f", as do all {self.boxes} boxes" if self.boxes > 1 else ""
            raise InputError(f"{leave[0]}{as_all}", remedy="xyxy given as xywh, or images resized? Correct the boxes")
        if self.outside:
            raise InputError(self.outside[0], remedy="correct it")

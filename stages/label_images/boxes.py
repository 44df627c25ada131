"""Boxes of distributed labels: parsed, brought to the size of their image, and checked against it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..common.data.index_tables import decimal_number
from ..common.errors import InputError
from .label_columns import BoxesForm

_NUMBERS: dict[BoxesForm, str] = {"xywh": "x y width height", "xyxy": "x_min y_min x_max y_max"}
_SEPARATORS = str.maketrans({"[": " ", "(": " ", "]": ";", ")": ";", ",": " "})  # of `[[1, 2, 3, 4], [5, 6, 7, 8]]`
_SHARES = (1.0, 1.0)  # the size of boxes in shares of the sides
_ROUNDING = 1e-3  # pixels by which a box may leave its image: sums of numbers that were rounded


class Box(NamedTuple):
    """Pixels of the original or, with `size`, of an image of that width and height; `row` is the row of its table."""

    row: int
    x: float
    y: float
    width: float
    height: float
    size: tuple[float, float] | None = None

    def scaled(self, horizontal: float, vertical: float) -> "Box":
        """Return the box in an image whose sides are so many times as long."""
        x, y, width, height = self[1:5]
        return Box(self.row, x * horizontal, y * vertical, width * horizontal, height * vertical)


def parse_box(row: int, cells: Sequence[str | None], where: str, form: BoxesForm = "xywh") -> Box:
    """Read the four numbers of a box.

    Raises InputError where one is not finite, or the box is empty or begins outside.
    """
    try:
        x, y, *ends = (decimal_number(cell) for cell in cells if cell is not None)
        width, height = (ends[0] - x, ends[1] - y) if form == "xyxy" and len(ends) == 2 else ends
    except ValueError:
        raise InputError(f"{where}: a box is four numbers, {_NUMBERS[form]}", remedy="correct it") from None
    if not (0 <= x < 1e6 and 0 <= y < 1e6 and 0 < width < 1e6 and 0 < height < 1e6):
        box = f"box {x:g} {y:g} {ends[0]:g} {ends[1]:g}"
        if form == "xyxy" and (width < 0 or height < 0):
            remedy = "if it is x y width height, set boxes_form: xywh; else correct it"
            raise InputError(f"{where}: {box} ends before it begins", remedy)
        raise InputError(f"{where}: {box} is empty or outside the image", remedy="correct it")
    return Box(row, x, y, width, height)


def parse_boxes(row: int, cell: str | None, where: str, form: BoxesForm = "xywh") -> tuple[Box, ...]:
    """Read the boxes of a cell, separated by ';' or each in brackets."""
    boxes = (box.split() for box in re.split(r"\s*;\s*", (cell or "").translate(_SEPARATORS)))
    return tuple(parse_box(row, box, where, form) for box in boxes if box)


@dataclass
class BoxesAtTheEdge:
    """The boxes of a data set that leave their image: `outside` begin there, `beyond` only end there.

    `size` is that of the images on which they were drawn, where the rows state none; `has_keys` says whether the
    settings can describe boxes.
    """

    source: Path
    size: tuple[float, float] | None = None
    has_keys: bool = False
    boxes: int = 0
    outside: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)
    stretched: list[str] = field(default_factory=list)  # drawn on images of another shape
    in_one_pixel: list[str] = field(default_factory=list)

    def add(self, image: Mapping[str, Any], boxes: Sequence[Box]) -> list[Box]:
        """Return the boxes of an image in its pixels, and compare them with its size.

        `image` has image_id, original_rows and original_columns. Raises InputError for a box whose row states the size
        of an image of another shape.
        """
        rows, columns = image["original_rows"], image["original_columns"]
        self.boxes += len(boxes)
        scaled = [self._scaled(box, f"{self.source}: row {box.row}: image {image['image_id']}", rows, columns)
                  for box in boxes]  # fmt: skip
        for given, (row, x, y, width, height, _) in zip(boxes, scaled, strict=True):
            box = f"{self.source}: row {row}: image {image['image_id']}: box {x:g} {y:g} {width:g} {height:g}"
            if x >= columns or y >= rows:
                self.outside.append(f"{box} lies outside its {columns} x {rows} pixels")
            elif x + width > columns + _ROUNDING or y + height > rows + _ROUNDING:
                self.beyond.append(f"{box} extends beyond its {columns} x {rows} pixels")
            elif x + width <= 1 and y + height <= 1 and (given.size or self.size) is None:
                self.in_one_pixel.append(f"{box} lies within the first of its {columns} x {rows} pixels")
        return scaled

    def _scaled(self, box: Box, where: str, rows: int, columns: int) -> Box:
        size = box.size or self.size
        if size is None:
            return box
        width, height = size
        other_shape = abs(width * rows / (height * columns) - 1) > 0.01 + 1 / width + 1 / height  # sides are rounded
        if other_shape and size != _SHARES:
            what = f"{where}: a box drawn on {width:g} x {height:g} pixels, but the image has {columns} x {rows}"
            if box.size is not None:
                raise InputError(what, remedy="correct the row, or `columns.boxes_size`, which is [width, height]")
            self.stretched.append(what)
        return box.scaled(columns / width, rows / height)

    def refuse_misplaced(self) -> None:
        """Raise an InputError if a box begins outside its image, or if all leave theirs or lie in its first pixel."""
        leave = [*self.outside, *self.beyond]
        for lines in (leave, self.in_one_pixel):
            if lines and len(lines) == self.boxes:
                as_all = f", as do all {self.boxes} boxes" if self.boxes > 1 else ""
                raise InputError(f"{lines[0]}{as_all}", remedy=self._remedy(lines is leave))
        if self.outside:
            raise InputError(self.outside[0], remedy="correct it")

    def _remedy(self, leave: bool) -> str:
        if not leave:
            return "shares of the sides? Set boxes_size: [1, 1]" if self.has_keys else "correct the boxes"
        act = "Set boxes_form or boxes_size, or correct the boxes" if self.has_keys else "Correct the boxes"
        return f"xyxy given as xywh, or images resized? {act}"

    def warnings(self) -> list[str]:
        """Return a line about boxes that are right only if their images were stretched."""
        if not self.stretched:
            return []
        return [
            f"{self.stretched[0]} ({len(self.stretched)} such): each side is scaled by itself, which is right if the "
            "image was stretched to that size, and wrong if it was padded or cropped"
        ]

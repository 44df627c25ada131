"""Rows of your own table of labels, with a column per finding: what they say of each image."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..common.data.index_tables import decimal_number
from ..common.data.own_tables import names_of
from ..common.data.table_files import ROW
from ..common.errors import InputError
from .boxes import Box, parse_box, parse_boxes
from .contract import LabelImagesSettings
from .distributed_labels import DistributedLabel, FindingLabel, LabelTable, row_of
from .label_columns import FindingColumns
from .readers import ImageRows, Meaning, agreed

CORRECT = "correct the rows of this image"
_LABEL = re.compile(r"-?\d{1,3}(\.\d+)?|y(es)?|no?|t(rue)?|f(alse)?|pos(itive)?|neg(ative)?|present|absent|un\w+", re.I)
NO_WORDS = ("nan", "none", "null", "n/a", "na", "-")  # as programs write a missing cell


class Rows:
    """Reader of a table with a column per finding and one row per image, or several that agree but for their box."""

    def __init__(self, settings: LabelImagesSettings, source: Path) -> None:
        self._settings, self._source = settings, source
        lists: tuple[tuple[Meaning, list[str]], ...] = (
            ("present", settings.positive_values),
            ("absent", settings.negative_values),
            ("uncertain", settings.uncertain_values),
            ("unlabelled", settings.unlabelled_values),
        )
        self._meanings = {cell.strip(): meaning for meaning, cells in lists for cell in cells}
        self._images: dict[str, dict[str, ImageRows]] = {}  # by image, then by reader
        self._has_terms = settings.columns is not None and settings.columns.license is not None
        self._labelled: set[str] = set()  # findings that some row labels
        self._unused: list[str] = []  # outlines of findings without label
        self._halves: dict[str, list[str]] = {}  # what a row has without its other half, a phrase or a box

    def add(self, row: Mapping[str, Any], image: str) -> None:
        """Read the labels of a row."""
        each, where = self._image(row, image), row_of(self._source, row[ROW], image, self._settings.show)
        for finding, columns in self._settings.by_finding.items():
            self._label(each, finding, self._meaning(row, columns.target, where), where)
            if columns.boxes or columns.mask:
                self._outline(each, finding, row, columns, where)

    def add_boxes(self, row: Mapping[str, Any], image: str, finding: str, where: str) -> bool:
        """Add the boxes of a row of another table, and return whether this one has the image."""
        boxes = self._settings.boxes_table
        assert boxes is not None
        if image not in self._images:
            return False
        [each] = self._images[image].values()
        self._outline(each, finding, row, FindingColumns(target="", boxes=boxes.boxes), where)
        return True

    def _image(self, row: Mapping[str, Any], image: str) -> ImageRows:
        columns = self._settings.columns
        assert columns is not None
        readers = self._settings.readers
        by_reader = self._images.setdefault(image, {})
        each = by_reader.setdefault(row[readers.column] if readers else "", ImageRows(row[ROW]))
        lungs, terms = (row[name] if name else None for name in (columns.lung_mask, columns.license))
        read = by_reader.values()
        for what, before, given in (("lung mask", {other.lung_mask_file for other in read}, lungs),
                                    ("licence", {other.license for other in read}, terms)):  # fmt: skip
            if given is not None and before - {None, given}:
                where = row_of(self._source, row[ROW], image, self._settings.show)
                raise InputError(f"{where}: another {what} than in a row before", CORRECT)
        each.lung_mask_file, each.license = each.lung_mask_file or lungs, each.license or terms
        return each

    def _meaning(self, row: Mapping[str, Any], column: str, where: str) -> Meaning:
        """Return what a cell means. Raises InputError for one that none of the lists has."""
        cell = row[column] or ""
        meaning = self._meanings.get(cell, None if cell else "blank")
        if meaning is None:
            known = [*self._settings.positive_values, *self._settings.negative_values]
            shown = self._settings.show or _LABEL.fullmatch(cell)  # a name of a person may stand in a wrong column
            said = f"is {cell!r}, not" if shown else "is not"
            raise InputError(
                f"{where}: {column} {said} one of {known}",
                remedy="correct it, or add it to positive_values, negative_values, unlabelled_values or "
                "uncertain_values",
            )
        return meaning

    def _label(self, each: ImageRows, finding: str, meaning: Meaning, where: str) -> None:
        """Keep what a row says of a finding. Raises InputError where a row of the same image says otherwise."""
        before = each.meanings.setdefault(finding, meaning)
        if before != meaning:
            raise InputError(f"{where}: {finding} is {meaning}, but {before} in a row before", CORRECT)

    def _boxes(self, row: Mapping[str, Any], columns: FindingColumns, where: str) -> tuple[Box, ...]:
        """Return the boxes of a row: those of one cell, or the one of four cells; none where all are blank."""
        names, form = names_of(columns.boxes), self._settings.boxes_form
        cells = [None if (row[name] or "").lower() in NO_WORDS else row[name] for name in names]
        if not any(cells):
            return ()
        if None in cells:
            remedy = f"fill it, or clear {', '.join(names)} where there is no box"
            raise InputError(f"{where}: {names[cells.index(None)]} is blank, but the box has other numbers", remedy)
        number = row[ROW]
        boxes = (
            parse_boxes(number, cells[0], where, form) if len(cells) == 1 else [parse_box(number, cells, where, form)]
        )
        size = self._boxes_size(row, where)
        return tuple(box._replace(size=size) for box in boxes)

    def _boxes_size(self, row: Mapping[str, Any], where: str) -> tuple[float, float] | None:
        """Return width and height that a row states for its boxes; None where no columns are named."""
        assert self._settings.columns is not None
        names = self._settings.columns.boxes_size
        if names is None or not row.keys() >= set(names):  # a second table has no such columns
            return None
        try:
            width, height = (decimal_number(row[name] or "") for name in names)
            if not (0 < width < math.inf and 0 < height < math.inf):
                raise ValueError
        except ValueError:
            given = f"{' x '.join(repr(row[name] or '') for name in names)}, " if self._settings.show else ""
            what = f"{where}: {' x '.join(names)} is {given}not the size of an image, and the row has a box"
            raise InputError(what, remedy="correct it") from None
        return width, height

    def _outline(
        self, each: ImageRows, finding: str, row: Mapping[str, Any], columns: FindingColumns, where: str
    ) -> None:
        """Add the boxes and the mask of a row. Raises InputError where the finding is absent but has a box."""
        boxes, meaning = self._boxes(row, columns, where), each.meanings.get(finding, each.rest)
        if boxes and self._target(finding, meaning) == 0:
            said = f"{finding} is absent"
            if columns.target in row:
                said = f"{columns.target} is {row[columns.target] or ''!r}, which means absent"
            raise InputError(f"{where}: a box, but {said}", remedy="correct the row")
        mask = row[columns.mask] if columns.mask else None
        phrase = self._phrase(row, boxes, where)
        if not boxes and not mask:
            return
        before = each.outlines.get(finding, FindingLabel(1))
        if mask and before.mask_file not in (None, mask):
            raise InputError(f"{where}: another mask of {finding} than in a row before", remedy="draw both in one file")
        if self._target(finding, meaning) is None:
            self._unused.append(f"{where}: a box or mask of {finding}, which has no label there")
        file, at = (mask, row[ROW]) if mask and before.mask_file is None else (before.mask_file, before.mask_row)
        phrases = dict(before.phrases)
        if phrase:
            phrases[phrase] = _joined(phrases.get(phrase, ()), boxes)
        each.outlines[finding] = FindingLabel(
            1, _joined(before.boxes, boxes), mask_file=file, mask_row=at, phrases=phrases
        )

    def _phrase(self, row: Mapping[str, Any], boxes: Sequence[Box], where: str) -> str:
        """Return the phrase that the boxes of a row are of, blanks folded; empty where there is none."""
        column = self._settings.columns.phrase if self._settings.columns else None
        if column is None or column not in row:  # a second table has none
            return ""
        phrase = " ".join((row[column] or "").split())
        phrase = "" if phrase.lower() in NO_WORDS else phrase
        if bool(phrase) != bool(boxes):
            lacking = "a phrase without box" if phrase else "a box without phrase"
            self._halves.setdefault(lacking, []).append(where)
        return phrase

    def _target(self, finding: str, meaning: Meaning) -> int | None:
        """Return 1 present, 0 absent, None without label; uncertain ones by the policy."""
        if meaning == "uncertain":
            return {"ignore": None, "zeros": 0, "ones": 1}[self._settings.uncertain_as(finding)]
        return {"present": 1, "absent": 0}.get(meaning)

    def table(self) -> LabelTable:
        """Return the labels of all rows."""
        read = LabelTable()
        for image, by_reader in self._images.items():
            each = self._agreed(image, list(by_reader.values()))
            meanings = {finding: each.meanings.get(finding, each.rest) for finding in self._settings.by_finding}
            targets = {finding: self._target(finding, meaning) for finding, meaning in meanings.items()}
            self._labelled |= {finding for finding, meaning in meanings.items() if meaning != "blank"}
            labels = {
                finding: replace(outline, target=target)
                for finding, target in targets.items()
                if target is not None
                for outline in (each.outlines.get(finding, FindingLabel(target)),)
            }
            if uncertain := [finding for finding, meaning in meanings.items() if meaning == "uncertain"]:
                read.uncertain[image] = uncertain
            if labels:
                terms = each.license or ("not stated" if self._has_terms else None)
                read.labels[image] = DistributedLabel(each.row, labels, each.lung_mask_file, terms)
            elif set(meanings.values()) & {"uncertain", "unlabelled"}:
                read.unlabelled[image] = each.row
            else:
                read.blank[image] = each.row
        if self._settings.findings is not None:
            self._refuse_unknown()
        if self._unused:
            read.warnings.append(f"{self._unused[0]} ({len(self._unused)} such): it is not used")
        for what, rows in self._halves.items():
            read.warnings.append(f"{rows[0]}: {what} ({len(rows)} such): nothing is pointed at with it")
        if self._settings.has_phrases and not any(
            own.phrases for label in read.labels.values() for own in label.findings.values()
        ):
            raise InputError(f"{self._source}: no row has a phrase and a box", "correct `columns.phrase` and `.boxes`")
        return read

    def _agreed(self, image: str, read: Sequence[ImageRows]) -> ImageRows:
        """Return what the readers of an image agree on. Raises InputError where there are too few."""
        readers = self._settings.readers
        if readers is None:
            return read[0]
        if len(read) < readers.agree:
            where = row_of(self._source, read[0].row, image, self._settings.show)
            raise InputError(
                f"{where}: {len(read)} of the {readers.agree} readers who must agree", "lower `readers.agree`"
            )
        result = agreed(read, [*self._settings.by_finding], readers)
        result.outlines = {finding: outline for finding, outline in result.outlines.items()
                           if self._target(finding, result.meanings[finding]) == 1}  # fmt: skip
        return result

    def _refuse_unknown(self) -> None:
        """Raise an InputError for a finding that no row labels."""
        for finding, columns in self._settings.by_finding.items():
            if finding not in self._labelled:
                raise InputError(
                    f"{self._source}: {columns.target}: no row has a label of it",
                    remedy=f"correct `findings.{finding}`, or remove it",
                )


def _joined(boxes: Sequence[Box], more: Sequence[Box]) -> tuple[Box, ...]:
    """Return the boxes with those of another row; a row that repeats a box is no second box."""
    known = {box[1:] for box in boxes}
    return (*boxes, *(box for box in more if box[1:] not in known))

"""Labels of your own table: a column per finding, or a column that lists the findings of each row."""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ..common.data.folder_trees import read_rows
from ..common.data.index_tables import plain_paths, refuse_duplicates, refuse_unsafe_paths, require_values
from ..common.data.table_files import ROW
from ..common.errors import InputError
from .boxes import parse_boxes
from .contract import FindingColumns, LabelImagesSettings
from .distributed_labels import DistributedLabel, FindingLabel, LabelTable, row_of

Meaning = Literal["present", "absent", "uncertain", "unlabelled", "blank"]
_CORRECT = "correct the rows of this image"
_NO_WORDS = ("nan", "none", "null", "n/a", "na", "-")  # as programs write a missing cell
_SHOWN = 8  # words of a column that a message lists


def read_folder(root: Path, settings: LabelImagesSettings, roots: tuple[Path, ...] = ()) -> LabelTable:
    """Return the labels by distributed image id.

    Raises InputError, which names the row, for a cell without meaning, for what contradicts itself, and for one of
    several findings that the table never has.
    """
    columns = settings.columns
    assert columns is not None, "the settings' validator saw to it"
    source, image_id = root / settings.main_table(), columns.image_id or columns.image
    table = read_rows(root, settings, settings.named_columns(), roots).table
    table = table.with_columns(plain_paths(columns.image))  # as index_inputs, whose ids these are
    require_values(table, source, [image_id])
    if columns.findings is None:
        refuse_duplicates(table, source, image_id, show=settings.show)
    own_masks = [each.mask for each in settings.by_finding.values()]
    for column in dict.fromkeys([columns.mask, columns.lung_mask, *own_masks]):
        if column is not None:
            refuse_unsafe_paths(table[column], table[ROW], source)
    reader = _Rows(settings, source) if columns.findings is None else _ListedRows(settings, source)
    for row in table.iter_rows(named=True):
        reader.add(row, row[image_id])
    return reader.table()


@dataclass
class _Image:
    """Hold what the rows of an image say; `meanings` are by finding, `rest` is that of findings which no row names."""

    row: int
    meanings: dict[str, Meaning] = field(default_factory=dict)
    rest: Meaning = "blank"
    outlines: dict[str, FindingLabel] = field(default_factory=dict)
    lung_mask_file: str | None = None
    license: str | None = None
    normal: bool = False  # a row says that no finding is present


class _Rows:
    """Reader of a table with a column per finding and one row per image."""

    def __init__(self, settings: LabelImagesSettings, source: Path) -> None:
        self._settings, self._source = settings, source
        lists: tuple[tuple[Meaning, list[str]], ...] = (
            ("present", settings.positive_values),
            ("absent", settings.negative_values),
            ("uncertain", settings.uncertain_values),
            ("unlabelled", settings.unlabelled_values),
        )
        self._meanings = {cell.strip(): meaning for meaning, cells in lists for cell in cells}
        self._images: dict[str, _Image] = {}
        self._has_terms = settings.columns is not None and settings.columns.license is not None
        self._labelled: set[str] = set()  # findings that some row labels
        self._unused: list[str] = []  # outlines of findings without label

    def add(self, row: Mapping[str, Any], image: str) -> None:
        """Read the labels of a row."""
        each, where = self._image(row, image), row_of(self._source, row[ROW], image, self._settings.show)
        for finding, columns in self._settings.by_finding.items():
            each.meanings[finding] = self._meaning(row, columns.target, where)
            self._outline(each, finding, row, columns, where)

    def _image(self, row: Mapping[str, Any], image: str) -> _Image:
        columns = self._settings.columns
        assert columns is not None
        each = self._images.setdefault(image, _Image(row[ROW]))
        lungs, terms = (row[name] if name else None for name in (columns.lung_mask, columns.license))
        for what, known, given in (("lung mask", each.lung_mask_file, lungs), ("licence", each.license, terms)):
            if known is not None and given is not None and given != known:
                where = row_of(self._source, row[ROW], image, self._settings.show)
                raise InputError(f"{where}: another {what} than in a row before", _CORRECT)
        each.lung_mask_file, each.license = each.lung_mask_file or lungs, each.license or terms
        return each

    def _meaning(self, row: Mapping[str, Any], column: str, where: str) -> Meaning:
        """Return what a cell means. Raises InputError for one that none of the lists has."""
        cell = row[column] or ""
        meaning = self._meanings.get(cell, None if cell else "blank")
        if meaning is None:
            known = [*self._settings.positive_values, *self._settings.negative_values]
            raise InputError(
                f"{where}: {column} is {cell!r}, not one of {known}",
                remedy="correct it, or add it to positive_values, negative_values, unlabelled_values or "
                "uncertain_values",
            )
        return meaning

    def _outline(self, each: _Image, finding: str, row: Mapping[str, Any], columns: FindingColumns, where: str) -> None:
        """Add the boxes and the mask of a row. Raises InputError where the finding is absent but has a box."""
        boxes = parse_boxes(row[ROW], row[columns.boxes], where) if columns.boxes else ()
        if boxes and self._target(finding, each.meanings[finding]) == 0:
            raise InputError(
                f"{where}: a box, but {columns.target} is {row.get(columns.target) or ''!r}, which means absent",
                remedy="correct the row",
            )
        mask = row[columns.mask] if columns.mask else None
        if not boxes and not mask:
            return
        before = each.outlines.get(finding, FindingLabel(1))
        if mask and before.mask_file not in (None, mask):
            raise InputError(f"{where}: another mask of {finding} than in a row before", remedy="draw both in one file")
        if self._target(finding, each.meanings[finding]) is None:
            self._unused.append(f"{where}: a box or mask of {finding}, which has no label there")
        known = {box[1:] for box in before.boxes}  # a row that repeats a box is no second box
        boxes = tuple(box for box in boxes if box[1:] not in known)
        file, at = (mask, row[ROW]) if mask and before.mask_file is None else (before.mask_file, before.mask_row)
        each.outlines[finding] = FindingLabel(1, (*before.boxes, *boxes), mask_file=file, mask_row=at)

    def _target(self, finding: str, meaning: Meaning) -> int | None:
        """Return 1 present, 0 absent, None without label; uncertain ones by the policy."""
        if meaning == "uncertain":
            return {"ignore": None, "zeros": 0, "ones": 1}[self._settings.uncertain_as(finding)]
        return {"present": 1, "absent": 0}.get(meaning)

    def table(self) -> LabelTable:
        """Return the labels of all rows."""
        read = LabelTable()
        for image, each in self._images.items():
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
        return read

    def _refuse_unknown(self) -> None:
        """Raise an InputError for a finding that no row labels."""
        for finding, columns in self._settings.by_finding.items():
            if finding not in self._labelled:
                raise InputError(
                    f"{self._source}: {columns.target}: no row has a label of it",
                    remedy=f"correct `findings.{finding}`, or remove it",
                )


class _ListedRows(_Rows):
    """Reader of a table with a column that lists findings; an image may have several rows.

    Where `columns.target` labels the findings of a row, those that no row of an image names are unknown in it. Without
    it, they are absent.
    """

    def __init__(self, settings: LabelImagesSettings, source: Path) -> None:
        super().__init__(settings, source)
        self._findings = {columns.target: finding for finding, columns in settings.by_finding.items()}
        self._words: Counter[str] = Counter()

    def add(self, row: Mapping[str, Any], image: str) -> None:
        """Read the findings that a row lists. Raises InputError where it contradicts another row of the image."""
        columns = self._settings.columns
        assert columns is not None
        each, where = self._image(row, image), row_of(self._source, row[ROW], image, self._settings.show)
        cell = row[self._column()] or ""
        said = None if columns.target else self._meanings.get(cell, "blank" if cell.lower() in _NO_WORDS else None)
        listed = [] if said is not None else words_in(cell, self._settings.findings_separator)
        self._words.update(listed)
        self._refuse_other_separators(listed, where)
        meaning = self._meaning(row, columns.target, where) if columns.target else "present"
        named = [self._findings[word] for word in listed if word in self._findings]
        for finding in named:
            if each.meanings.setdefault(finding, meaning) != meaning:
                before = each.meanings[finding]
                raise InputError(f"{where}: {finding} is {meaning}, but {before} in a row before", _CORRECT)
        normal = meaning == "present" and any(word in self._settings.normal_values for word in listed)
        each.normal = each.normal or normal
        present = [finding for finding, said in each.meanings.items() if said == "present"]
        if each.normal and present:
            raise InputError(f"{where}: {present[0]} is present, but the image is said to have no finding", _CORRECT)
        if said in ("uncertain", "unlabelled"):
            each.rest = said
        elif normal or said == "absent" or (listed and not columns.target):
            each.rest = "absent"
        self._outline_of_row(each, row, named, where)

    def _refuse_other_separators(self, listed: list[str], where: str) -> None:
        """Raise an InputError for a word that holds one of the findings beside another separator: it would be lost."""
        for word in listed:
            parts = [part.strip() for part in re.split(r"[|,;/\t]", word)]
            if word not in self._findings and len(parts) > 1 and self._findings.keys() & set(parts):
                raise InputError(
                    f"{where}: {word!r} in {self._column()} is one word with the separator "
                    f"{self._settings.findings_separator!r}",
                    remedy="correct `findings_separator`, or the row",
                )

    def _outline_of_row(self, each: _Image, row: Mapping[str, Any], named: list[str], where: str) -> None:
        columns = self._settings.columns
        assert columns is not None
        given = [name for name in (columns.boxes, columns.mask) if name and row[name]]
        if not given or not named:
            return
        if len(named) > 1:
            raise InputError(
                f"{where}: {given[0]} belongs to one finding, but the row has {', '.join(named)}",
                remedy="give each finding that has boxes or a mask its own row",
            )
        place = FindingColumns(target=str(columns.findings), boxes=columns.boxes, mask=columns.mask)
        self._outline(each, named[0], row, place, where)

    def _refuse_unknown(self) -> None:
        """Raise an InputError for a finding whose word no row has."""
        for word, finding in self._findings.items():
            if word not in self._words:
                known = [each for each, _ in self._words.most_common(_SHOWN)]
                more = ", ..." if len(self._words) > _SHOWN else ""
                what = f"{self._source}: no row of {self._column()} has the word {word!r} of `findings.{finding}`"
                seen = f"; it has {', '.join(known)}{more}" if self._settings.show else ""
                raise InputError(what, remedy=f"correct the word, or remove the finding{seen}")

    def _column(self) -> str:
        assert self._settings.columns is not None
        return str(self._settings.columns.findings)


def words_in(cell: str, separator: str) -> list[str]:
    """Return the words of a cell, each once: `A|B` with its separator, or a list in brackets as Python writes it."""
    parts: Iterable[str]
    if cell.startswith("[") and cell.endswith("]"):
        try:
            parts = map(str, ast.literal_eval(cell))
        except (ValueError, SyntaxError):  # words without quotes
            parts = (each.strip().strip("'\"") for each in cell[1:-1].split(","))
    else:
        parts = cell.split(separator)
    return list(dict.fromkeys(word for each in parts if (word := each.strip())))

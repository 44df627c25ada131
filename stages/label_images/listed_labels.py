"""Rows of your own table of labels, with a column that lists the findings of each row."""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..common.data.own_tables import names_of
from ..common.data.table_files import ROW
from ..common.errors import InputError
from .contract import LabelImagesSettings
from .distributed_labels import row_of
from .label_columns import FindingColumns
from .label_rows import CORRECT, NO_WORDS, Rows
from .readers import ImageRows, Meaning

_SHOWN = 8  # words of a column that a message lists
_STRENGTH: tuple[Meaning, ...] = ("blank", "unlabelled", "uncertain")  # of rows that say nothing of a finding


class ListedRows(Rows):
    """Reader of a table with a column that lists findings; an image may have several rows.

    Where `columns.target` labels the findings of a row, those that no row of an image names are unknown in it. Without
    it, they are absent, unless rows are phrases: that no sentence about a finding was chosen does not say that it is
    absent.
    """

    def __init__(self, settings: LabelImagesSettings, source: Path) -> None:
        super().__init__(settings, source)
        self._findings = findings_by_word(settings)
        self._normal = {word.casefold() for word in settings.normal_values}
        self._nothing = {word.strip().casefold() for word in settings.unlabelled_values}
        self._words: Counter[str] = Counter()

    def add(self, row: Mapping[str, Any], image: str) -> None:
        """Read the findings that a row lists. Raises InputError where it contradicts another row of the image."""
        columns = self._settings.columns
        assert columns is not None
        each, where = self._image(row, image), row_of(self._source, row[ROW], image, self._settings.show)
        said, listed = self._read(row)
        self._words.update(listed)
        self._refuse_other_separators(listed, where)
        meaning = self._meaning(row, columns.target, where) if columns.target else "present"
        named = list(
            dict.fromkeys(self._findings[key] for word in listed if (key := word.casefold()) in self._findings)
        )
        for finding in named:
            self._label(each, finding, meaning, where)
        normal = said == "absent" or (meaning == "present" and any(word.casefold() in self._normal for word in listed))
        each.normal = each.normal or normal
        present = [finding for finding, told in each.meanings.items() if told == "present"]
        if each.normal and present:
            raise InputError(f"{where}: {present[0]} is present, but the image is said to have no finding", CORRECT)
        if normal or (listed and not columns.target and not columns.phrase):
            each.rest = "absent"
        elif said in _STRENGTH and each.rest in _STRENGTH:
            each.rest = max(said, each.rest, key=_STRENGTH.index)
        self._outline_of_row(each, row, named, where)

    def _read(self, row: Mapping[str, Any]) -> tuple[Meaning | None, list[str]]:
        """Return what the whole cell says, or None and its words; those of `unlabelled_values` say nothing."""
        columns = self._settings.columns
        assert columns is not None
        cell = row[self._column()] or ""
        words = words_in(cell, self._settings.findings_separator)
        told = [word for word in words if word.casefold() not in NO_WORDS]
        if columns.target:
            return None, told
        said = self._meanings.get(cell)
        if said is not None and said != "present" and cell.casefold() not in self._findings:
            return said, []
        listed = [word for word in told if word.casefold() not in self._nothing]
        if listed:
            return None, listed
        return ("unlabelled" if told else "blank"), []

    def _refuse_other_separators(self, listed: list[str], where: str) -> None:
        """Raise an InputError for a word that holds one of the findings beside another separator: it would be lost."""
        for word in listed:
            parts = [part.strip().casefold() for part in re.split(r"[|,;/\t]", word)]
            if word.casefold() not in self._findings and len(parts) > 1 and self._findings.keys() & set(parts):
                said = repr(word) if self._settings.show else "a cell"
                raise InputError(
                    f"{where}: {said} in {self._column()} is one word with the separator "
                    f"{self._settings.findings_separator!r}",
                    remedy="correct `findings_separator`, or the row",
                )

    def _outline_of_row(self, each: ImageRows, row: Mapping[str, Any], named: list[str], where: str) -> None:
        columns = self._settings.columns
        assert columns is not None
        named_cells = (*names_of(columns.boxes), columns.mask)
        given = [name for name in named_cells if name and (row[name] or "").casefold() not in ("", *NO_WORDS)]
        if not named:
            return
        if given and len(named) > 1:
            raise InputError(
                f"{where}: {given[0]} belongs to one finding, but the row has {', '.join(named)}",
                remedy="give each finding that has boxes or a mask its own row",
            )
        place = FindingColumns(target=str(columns.findings), boxes=columns.boxes, mask=columns.mask)
        self._outline(each, named[0], row, place, where)

    def _refuse_unknown(self) -> None:
        """Raise an InputError for a finding of which no row has a word."""
        found = {word.casefold() for word in self._words}
        for finding, columns in self._settings.by_finding.items():
            if found.isdisjoint(word.casefold() for word in columns.words):
                word = columns.target
                known = [each for each, _ in self._words.most_common(_SHOWN)]
                more = ", ..." if len(self._words) > _SHOWN else ""
                what = f"{self._source}: no row of {self._column()} has the word {word!r} of `findings.{finding}`"
                seen = f"; it has {', '.join(known)}{more}" if self._settings.show else ""
                raise InputError(what, remedy=f"correct the word, or remove the finding{seen}")

    def _column(self) -> str:
        assert self._settings.columns is not None
        return str(self._settings.columns.findings)


def findings_by_word(settings: LabelImagesSettings) -> dict[str, str]:
    """Return finding by each of its words, in lower case: tables write one word in several ways."""
    return {word.casefold(): finding for finding, columns in settings.by_finding.items() for word in columns.words}


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

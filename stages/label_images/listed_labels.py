"""Rows of your own table of labels, with a column that lists the findings of each row."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common.data.own_tables import names_of
from ..common.data.table_files import ROW
from ..common.errors import InputError
from .contract import LabelImagesSettings
from .distributed_labels import LabelTable, row_of
from .label_columns import FindingColumns, folded
from .label_rows import CORRECT, NO_WORDS, Rows
from .readers import ImageRows, Meaning

_SEPARATORS = re.compile(r"[|,;/:&+\t\r\n]|\band\b", re.I)
_BRACKETS = ("[]", "()", "{}")
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_QUOTED_LIST = re.compile(rf"(?:{_QUOTED.pattern})(?:[\s,]+(?:{_QUOTED.pattern}))*[\s,]*")
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
        self._normal = set(map(folded, settings.normal_values))
        self._nothing = set(map(folded, settings.unlabelled_values))
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
        named = list(dict.fromkeys(self._findings[key] for word in listed if (key := folded(word)) in self._findings))
        for finding in named:
            self._label(each, finding, meaning, where)
        normal = said == "absent" or (meaning == "present" and any(folded(word) in self._normal for word in listed))
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
        told = [word for word in words if (key := folded(word)) in self._normal or key not in NO_WORDS]
        if columns.target:
            return None, told
        said = self._meanings.get(cell)
        if said is not None and said != "present" and folded(cell) not in self._findings:
            return said, []
        listed = [word for word in told if folded(word) not in self._nothing]
        if listed:
            return None, listed
        return ("unlabelled" if told else "blank"), []

    def _refuse_other_separators(self, listed: list[str], where: str) -> None:
        """Raise an InputError for a word that holds one of the findings beside another separator: it would be lost."""
        for word in listed:
            parts = list(map(folded, _SEPARATORS.split(word)))
            if folded(word) not in self._findings and len(parts) > 1 and self._findings.keys() & set(parts):
                said = repr(word) if self._settings.show else "a cell"
                raise InputError(
                    f"{where}: {said} in {self._column()} is one word with the separator "
                    f"{self._settings.findings_separator!r}",
                    remedy="correct `findings_separator` or the row, or name the word in `also` of its finding",
                )

    def _outline_of_row(self, each: ImageRows, row: Mapping[str, Any], named: list[str], where: str) -> None:
        columns = self._settings.columns
        assert columns is not None
        named_cells = (*names_of(columns.boxes), columns.mask)
        cells = {name: re.sub(r"[\[\]\s]", "", row[name] or "").casefold() for name in named_cells if name}
        given = [name for name, cell in cells.items() if cell not in ("", *NO_WORDS)]
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
        found = set(map(folded, self._words))
        for finding, columns in self._settings.by_finding.items():
            if found.isdisjoint(map(folded, columns.words)):
                word = columns.target
                known = [each for each, _ in self._words.most_common(_SHOWN)]
                more = ", ..." if len(self._words) > _SHOWN else ""
                what = f"{self._source}: no row of {self._column()} has the word {word!r} of `findings.{finding}`"
                seen = f"; it has {', '.join(known)}{more}" if self._settings.show else ""
                raise InputError(what, remedy=f"correct the word, or remove the finding{seen}")

    def _column(self) -> str:
        assert self._settings.columns is not None
        return str(self._settings.columns.findings)

    def table(self) -> LabelTable:
        """Return the labels of all rows, with a warning about words that no finding has."""
        read = super().table()
        read.warnings.extend(self._others())
        return read

    def _others(self) -> list[str]:
        """Return a warning about words that no finding has: a misspelt one would make its finding absent."""
        known = self._findings.keys() | self._normal
        others = Counter({word: count for word, count in self._words.items() if folded(word) not in known})
        if not others:
            return []
        more = ", ..." if len(others) > _SHOWN else ""
        listed = ", ".join(f"{word} {count}" for word, count in others.most_common(_SHOWN))
        shown = f" ({listed}{more})" if self._settings.show else ""
        what = f"{len(others)} words of {self._column()} are of no finding{shown}"
        return [f"{self._source}: {what}: they say nothing, and a row with others alone has none of the findings"]


def findings_by_word(settings: LabelImagesSettings) -> dict[str, str]:
    """Return finding by each of its words, folded: tables write one word in several ways."""
    return {folded(word): finding for finding, columns in settings.by_finding.items() for word in columns.words}


def words_in(cell: str, separator: str) -> list[str]:
    """Return the words of a cell, each once: `A|B` with its separator, or a list in brackets.

    Lists are those of Python (['A', 'B']) and of NumPy (['A' 'B']); without quotes, [A, B].
    """
    whole = inner = cell.strip()
    while len(inner) > 1 and inner[0] + inner[-1] in _BRACKETS:
        inner = inner[1:-1].strip()
    if inner != whole and _QUOTED_LIST.fullmatch(inner):
        parts = [re.sub(r"\\(.)", r"\1", each.group()[1:-1]) for each in _QUOTED.finditer(inner)]
    elif whole.startswith("[") and whole.endswith("]"):
        parts = [each.strip().strip("'\"") for each in inner.split(",")]
    else:
        parts = cell.split(separator)
    return list(dict.fromkeys(word for each in parts if (word := each.strip())))

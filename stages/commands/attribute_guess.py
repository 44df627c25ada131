"""Columns of a table that say sex and age, by their names and by what every cell of them means."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from ..common.radiographs.attributes import parse_age
from .column_names import Roles, column_words

_SEX = re.compile(r"\b(sex|gender|geschlecht|sexe|sexo|genero|genre)\b")
_AGE = re.compile(r"^(?!.*\b(groups?|bands?|category|class|gruppe|klasse|grupo)\b).*\b(ages?|alter|lebensalter|edad)\b")
_MALE = frozenset(
    [
        "m",
        "male",
        "man",
        "männlich",
        "maennlich",
        "mann",
        "homme",
        "masculin",
        "h",
        "hombre",
        "masculino",
        "varon",
        "varón",
    ]
)
_FEMALE = frozenset(
    ["f", "w", "female", "woman", "weiblich", "frau", "femme", "féminin", "feminin", "mujer", "femenino"]
)
_UNSTATED = frozenset(["", "u", "unknown", "not stated", "na", "n/a", "nan", "o", "other", "x", "diverse"])


@dataclass(frozen=True)
class Attributes:
    """Columns of sex and age, and the cells that mean each sex where they are not those of the default."""

    sex: str | None = None
    age: str | None = None
    values: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, str | None]:
        """Return the columns by role."""
        return {"sex": self.sex, "age": self.age}


def attributes_of(table: pl.DataFrame, roles: Roles) -> Attributes:
    """Return the columns of sex and age, given or guessed, and remove them from those without a role."""
    sex = roles.take("sex", lambda rest: next((name for name in rest if _says(name, _SEX) and _meanings(table[name])),
                                              None))  # fmt: skip
    age = roles.take("age", lambda rest: next((name for name in rest if _says(name, _AGE) and _are_ages(table[name])),
                                              None))  # fmt: skip
    return Attributes(sex, age, _meanings(table[sex]) or {} if sex else {})


def _says(name: str, words: re.Pattern[str]) -> bool:
    return bool(words.search(column_words(name)))


def _cells(values: pl.Series) -> list[str]:
    """Return the different cells, without blanks, as they are written."""
    found = values.cast(pl.String).drop_nulls().unique().sort().to_list()
    return [cell.strip() for cell in found if cell.strip().lower() not in _UNSTATED]


def _meanings(values: pl.Series) -> dict[str, list[str]] | None:
    """Return `male_values` and `female_values`, or None where a cell means neither.

    H and M are hombre and mujer where they stand together; elsewhere M is male.
    """
    cells = _cells(values)
    female = _FEMALE | {"m"} if {cell.lower() for cell in cells} == {"h", "m"} else _FEMALE
    male = _MALE - female
    if not cells or any(cell.lower() not in male | female for cell in cells):
        return None
    found = {"male_values": [cell for cell in cells if cell.lower() in male],
             "female_values": [cell for cell in cells if cell.lower() in female]}  # fmt: skip
    return {key: cells for key, cells in found.items() if cells}


def _are_ages(values: pl.Series) -> bool:
    """Return whether every cell is an age, and most are plausible ones of people."""
    cells = _cells(values)
    try:
        ages = [parse_age(cell) for cell in cells]
    except ValueError:
        return False
    return bool(ages) and sum(age is not None for age in ages) > len(ages) / 2

"""Columns of sex and age are known by their names and by every cell, in the languages that tables come in."""

import polars as pl
import pytest

from stages.commands.attribute_guess import Attributes, attributes_of
from stages.commands.column_names import Roles


def guessed(**columns: list[str | None]) -> Attributes:
    table = pl.DataFrame(columns)
    return attributes_of(table, Roles(table, {}, "table.csv"))


@pytest.mark.parametrize(
    ("name", "cells", "male", "female"),
    [
        ("PatientSex", ["M", "F", None], ["M"], ["F"]),
        ("Geschlecht", ["m", "w", "unknown"], ["m"], ["w"]),
        ("sexo", ["H", "M"], ["H"], ["M"]),  # hombre, mujer
        ("gender", ["Male", "female "], ["Male"], ["female"]),
    ],
)
def test_sex_is_read_by_its_words(name: str, cells: list[str | None], male: list[str], female: list[str]) -> None:
    assert guessed(**{name: cells}) == Attributes(name, None, {"male_values": male, "female_values": female})


@pytest.mark.parametrize(
    ("name", "cells"), [("sex", ["M", "2"]), ("sex", [None, ""]), ("consent", ["M", "F"]), ("sextant", ["M", "F"])]
)
def test_other_cells_and_other_names_are_no_sex(name: str, cells: list[str | None]) -> None:
    assert guessed(**{name: cells}).sex is None


@pytest.mark.parametrize(("name", "cells"), [("Age", ["34", "090Y"]), ("Alter (Jahre)", ["34,5", "90+"])])
def test_age_is_read_where_every_cell_is_one(name: str, cells: list[str]) -> None:
    assert guessed(**{name: cells}).age == name


@pytest.mark.parametrize(("name", "cells"), [("age", ["34", "old"]), ("age", ["1950", "1987"]), ("stage", ["3", "4"])])
def test_other_numbers_are_no_age(name: str, cells: list[str]) -> None:
    assert guessed(**{name: cells}).age is None

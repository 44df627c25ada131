"""Columns of sex and age of a user's own table."""

import pytest

from stages.common.errors import InputError
from stages.common.settings import validating
from stages.index_inputs.contract import IndexInputsSettings

SETTINGS = {"layout": "folder", "table": "t.csv", "columns": {"image": "file", "sex": "sex", "age": "age"},
            "identifiers": "distributed"}  # fmt: skip


def write(root, *cells: tuple[str, str]) -> None:
    rows = [f"{number:02}.png,{sex},{age}" for number, (sex, age) in enumerate(cells)]
    (root / "t.csv").write_text("\n".join(["file,sex,age", *rows]) + "\n")


def test_sex_and_age_go_into_the_index(index, tmp_path):
    write(tmp_path, ("M", "62"), ("female", "058Y"), ("O", "95"), ("", ""), ("Unknown", "414Y"))
    found = index(tmp_path, SETTINGS)
    assert [file["sex"] for file in found.files] == ["male", "female", "other", None, None]
    assert [file["age"] for file in found.files] == [62, 58, 90, None, None]


def test_implausible_ages_are_counted(index, tmp_path, capsys):
    write(tmp_path, ("M", "62"), ("M", "414Y"), ("M", "155"))
    index(tmp_path, SETTINGS)
    assert "t.csv: age: 2 ages are above 120 years, first row 3; they count as not stated" in capsys.readouterr().err


def test_words_of_your_own(index, tmp_path):
    write(tmp_path, ("Herr", "1"), ("frau", "2"))
    own = SETTINGS | {"male_values": ["herr"], "female_values": ["Frau "]}
    assert [file["sex"] for file in index(tmp_path, own).files] == ["male", "female"]
    with pytest.raises(InputError) as refused, validating("config.yaml", IndexInputsSettings):
        IndexInputsSettings.model_validate(own | {"female_values": ["HERR"]})
    assert "'herr' stands in male_values and in female_values" in str(refused.value)


@pytest.mark.parametrize("kind", ["distributed", "keyed"])
@pytest.mark.parametrize(("cells", "column", "cell"), [(("Q7", "40"), "sex", "Q7"), (("M", "old"), "age", "old")])
def test_a_cell_without_meaning_is_refused(refusal, tmp_path, kind, cells, column, cell):
    write(tmp_path, ("M", "40"), cells)
    line = refusal(tmp_path, SETTINGS | {"identifiers": kind})
    said = f"is {cell!r}" if kind == "distributed" else "has no known meaning"
    assert f"t.csv: row 3: {column} {said}" in line
    assert (cell in line) == (kind == "distributed")

"""The column that says which JPEG and PNG files hold MONOCHROME1 pixels as they were."""

import pytest

from stages.common.errors import InputError
from stages.common.settings import validating
from stages.index_inputs.contract import IndexInputsSettings

SETTINGS = {"layout": "folder", "table": "t.csv", "columns": {"image": "file", "inverted": "turned"},
            "identifiers": "distributed"}  # fmt: skip


def write(root, cells: list[str]) -> list[str]:
    rows = [f"{number:02}.png,{cell}" for number, cell in enumerate(cells)]
    (root / "t.csv").write_text("\n".join(["file,turned", *rows]) + "\n")
    return rows


def test_every_spelling_of_yes_and_no(index, tmp_path):
    meanings = {"1": True, "0": False, "1.0": True, "0.0": False, "True": True, "FALSE": False, "Yes": True,
                "no": False, "MONOCHROME1": True, "monochrome2": False, "RGB": False, "": None}  # fmt: skip
    write(tmp_path, list(meanings))
    assert [file["inverted"] for file in index(tmp_path, SETTINGS).files] == list(meanings.values())


def test_a_table_without_the_column_says_nothing(index, tmp_path):
    write(tmp_path, ["1", "0"])
    files = index(tmp_path, SETTINGS | {"columns": {"image": "file"}}).files
    assert [file["inverted"] for file in files] == [None, None]


def test_values_of_your_own(index, tmp_path):
    write(tmp_path, ["Ja", "nein"])
    own = SETTINGS | {"inverted_values": ["ja"], "upright_values": ["Nein "]}
    assert [file["inverted"] for file in index(tmp_path, own).files] == [True, False]


@pytest.mark.parametrize(("kind", "said"), [("distributed", "turned is 'ja'"), ("keyed", "turned is none of")])
def test_a_cell_without_meaning_is_refused(refusal, tmp_path, kind, said):
    write(tmp_path, ["1", "ja", "ja"])
    line = refusal(tmp_path, SETTINGS | {"identifiers": kind})
    assert f"t.csv: row 3: {said}" in line
    assert "(2 such rows); correct it, or add it to inverted_values or upright_values" in line
    assert ("ja" in line) == (kind == "distributed")


def test_rows_of_one_image_that_disagree_are_refused(refusal, tmp_path):
    (tmp_path / "t.csv").write_text("file,turned\na.png,1\na.png,0\n")
    assert "rows 2 and 3 have the same image a.png" in refusal(tmp_path, SETTINGS)


def test_a_word_in_both_lists_is_refused():
    with pytest.raises(InputError) as refused, validating("config.yaml", IndexInputsSettings):
        IndexInputsSettings.model_validate(SETTINGS | {"upright_values": ["TRUE"]})
    assert "'true' stands in inverted_values and in upright_values" in str(refused.value)

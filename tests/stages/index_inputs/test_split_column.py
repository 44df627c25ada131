"""A column of the own table that says the part of each patient."""

import pytest

from stages.common.data.patient_split import PatientSplit, split_of
from stages.common.errors import InputError
from stages.common.settings import validating
from stages.index_inputs.contract import IndexInputsSettings

COLUMNS = {"image": "file", "patient": "person", "study": "exam", "report": "text", "split": "part"}
SETTINGS = {"layout": "folder", "table": "t.csv", "columns": COLUMNS, "identifiers": "distributed"}


def write(root, rows: list[tuple[str, str]]) -> None:
    lines = [f"{number}.png,{patient},e{number},Clear.,{part}" for number, (patient, part) in enumerate(rows)]
    (root / "t.csv").write_text("\n".join(["file,person,exam,text,part", *lines]) + "\n")


def test_every_name_of_a_part_is_followed(index, tmp_path):
    names = {"train": "train", "Training": "train", "VAL": "validation", "dev": "validation", "valid": "validation",
             "validation": "validation", "validate": "validation", "test": "test",
             " Testing ": "test", "": None}  # fmt: skip
    write(tmp_path, [(f"p{number}", name) for number, name in enumerate(names)])
    indexed = index(tmp_path, SETTINGS)
    assert [file["distributed_split"] for file in indexed.files] == list(names.values())
    assert [report["distributed_split"] for report in indexed.reports] == list(names.values())
    split = PatientSplit(validation=0, test=0)
    parts = [split_of(file["patient_id"], split, file["distributed_split"]) for file in indexed.files]
    assert parts == [part or "train" for part in names.values()]


@pytest.mark.parametrize(("second", "said"), [("test", "is in train and in test"), ("", "is in train and in no part")])
@pytest.mark.parametrize("kind", ["distributed", "keyed"])
def test_a_patient_in_two_parts_is_refused(refusal, tmp_path, kind, second, said):
    write(tmp_path, [("x", "test"), ("secret", "train"), ("secret", "train"), ("secret", second)])
    line = refusal(tmp_path, SETTINGS | {"identifiers": kind})
    assert "t.csv: rows 3 and 5: " in line
    assert f"{said} (1 such); put all images of a patient into one part" in line
    assert ("secret" in line) == (kind == "distributed")


def test_a_cell_that_names_no_part_is_refused(refusal, tmp_path):
    write(tmp_path, [("p", "train"), ("q", "fold1"), ("r", "fold2")])
    assert "t.csv: row 3: part names no part (2 such rows); write train, validation or test" in refusal(
        tmp_path, SETTINGS
    )


def test_a_split_needs_patients():
    columns = {"image": "file", "split": "part"}
    with pytest.raises(InputError) as refused, validating("config.yaml", IndexInputsSettings):
        IndexInputsSettings.model_validate(SETTINGS | {"columns": columns})
    assert "`split` needs `patient`: no patient may be in two parts" in str(refused.value)

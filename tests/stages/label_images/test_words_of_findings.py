"""Words of a column that lists findings: in any case, that say nothing, that are numbers, and in any order of rows."""

import pytest

from stages.common.errors import InputError
from stages.common.settings import validating
from stages.label_images.contract import LabelImagesSettings
from stages.label_images.label_tables import read_labels


def listed(tmp_path, write_csv, cells: list[tuple[str, str]], **more):
    write_csv(tmp_path / "t.csv", [["file", "labels"], *map(list, cells)])
    block = {"layout": "folder", "identifiers": "distributed", "table": "t.csv",
             "columns": {"image": "file", "findings": "labels"},
             "findings": {"pn": "Pneumonia", "ef": "Effusion"}} | more  # fmt: skip
    read = read_labels(tmp_path, LabelImagesSettings.model_validate(block))
    return read, {
        image: {name: own.target for name, own in each.findings.items()} for image, each in read.labels.items()
    }


BOTH = [("z.png", "Pneumonia"), ("z.png", "Effusion")]


def test_words_are_the_same_in_any_case(tmp_path, write_csv) -> None:
    _, targets = listed(tmp_path, write_csv, [*BOTH, ("a.png", "pneumonia"), ("b.png", "PNEUMONIA|effusion")])
    assert targets["a.png"] == {"pn": 1, "ef": 0}
    assert targets["b.png"] == {"pn": 1, "ef": 1}
    with pytest.raises(
        InputError, match=r"row 4: image a\.png: pn is present, but the image is said to have no finding"
    ):
        listed(tmp_path, write_csv, [*BOTH, ("a.png", "pneumonia|no finding")])
    with pytest.raises(InputError, match="'Pneumonia' is the target of two findings"), validating("settings"):
        listed(tmp_path, write_csv, BOTH, findings={"pn": "Pneumonia", "other": "pneumonia"})


def test_words_that_say_nothing_leave_an_image_without_label(tmp_path, write_csv) -> None:
    cells = [("a.png", "unchanged"), ("b.png", "['unchanged', 'Effusion']"), ("c.png", "[nan]"), ("d.png", "['nan']")]
    read, targets = listed(tmp_path, write_csv, [*BOTH, *cells], unlabelled_values=["Unchanged"])
    assert "a.png" in read.unlabelled
    assert targets["b.png"] == {"pn": 0, "ef": 1}
    assert set(read.blank) == {"c.png", "d.png"}


def test_the_order_of_rows_does_not_matter(tmp_path, write_csv) -> None:
    for rows in ([("a.png", "Pneumonia"), ("a.png", "NoIdx")], [("a.png", "NoIdx"), ("a.png", "Pneumonia")]):
        _, targets = listed(tmp_path, write_csv, [*BOTH, *rows], unlabelled_values=["NoIdx"])
        assert targets["a.png"] == {"pn": 1, "ef": 0}
    for rows in ([("a.png", "Pneumonia"), ("a.png", "0")], [("a.png", "0"), ("a.png", "Pneumonia")]):
        with pytest.raises(InputError, match="is said to have no finding"):
            listed(tmp_path, write_csv, [*BOTH, *rows])


def test_numbers_may_be_words(tmp_path, write_csv) -> None:
    cells = [("a.png", "3"), ("b.png", "1"), ("c.png", "0"), ("d.png", "14")]
    _, targets = listed(tmp_path, write_csv, cells, findings={"card": "3", "ao": "0"}, normal_values=["14"])
    assert targets == {"a.png": {"card": 1, "ao": 0}, "b.png": {"card": 0, "ao": 0}, "c.png": {"card": 0, "ao": 1},
                       "d.png": {"card": 0, "ao": 0}}  # fmt: skip


def test_keyed_tables_are_not_quoted(tmp_path, write_csv) -> None:
    write_csv(tmp_path / "t.csv", [["file", "name"], ["a.png", "John Smith"], ["b.png", "Jane Roe"]])
    block = {"layout": "folder", "table": "t.csv", "finding": "pn", "columns": {"image": "file", "target": "name"}}
    with pytest.raises(InputError, match="row 2: name is not one of") as caught:
        read_labels(tmp_path, LabelImagesSettings.model_validate(block))
    assert "John" not in str(caught.value)

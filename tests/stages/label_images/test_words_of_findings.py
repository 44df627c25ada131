"""Words of a column that lists findings: in any case, that say nothing, that are numbers, and in any order of rows."""

import pytest

from stages.common.errors import InputError
from stages.common.settings import validating
from stages.label_images.contract import LabelImagesSettings
from stages.label_images.label_tables import read_labels
from stages.label_images.listed_labels import words_in


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


@pytest.mark.parametrize(
    "cell",
    ["['Pneumonia' 'Effusion']", "['Pneumonia'\n 'Effusion']", "('Pneumonia', 'Effusion')", "{'Pneumonia','Effusion'}",
     "[['Pneumonia', 'Effusion']]", "[Pneumonia, Effusion]"],
)  # fmt: skip
def test_lists_of_programs_are_read(tmp_path, write_csv, cell: str) -> None:
    _, targets = listed(tmp_path, write_csv, [("a.png", cell), ("b.png", "No Finding")])
    assert targets == {"a.png": {"pn": 1, "ef": 1}, "b.png": {"pn": 0, "ef": 0}}


def test_words_with_marks_are_read_as_they_are() -> None:
    assert words_in("(a)|(b)", "|") == ["(a)", "(b)"]
    assert words_in("""['Kerley\\'s lines', "b's"]""", "|") == ["Kerley's lines", "b's"]
    assert words_in("[{[]:1}]", "|") == ["[]:1"]


@pytest.mark.parametrize(
    "cell", ["Pneumonia and Effusion", "Pneumonia\nEffusion", "Pneumonia: Effusion", "Effusion & x"]
)
def test_a_finding_in_a_longer_word_is_refused_where_a_mark_parts_it(tmp_path, write_csv, cell: str) -> None:
    with pytest.raises(InputError, match="is one word with the separator"):
        listed(tmp_path, write_csv, [*BOTH, ("a.png", cell)])


def test_words_of_no_finding_are_counted(tmp_path, write_csv) -> None:
    """A misspelt one would make its finding absent without a word."""
    read, targets = listed(tmp_path, write_csv, [*BOTH, ("a.png", "Efusion"), ("b.png", "Efusion|Mass"),
                                                 ("c.png", "No Finding")])  # fmt: skip
    assert targets["a.png"] == {"pn": 0, "ef": 0}
    [line] = read.warnings
    assert "t.csv: 2 words of labels are of no finding (Efusion 2, Mass 1): they say nothing" in line
    keyed, _ = listed(tmp_path, write_csv, [*BOTH, ("a.png", "John Smith")], identifiers="keyed")
    assert "John" not in keyed.warnings[0]


def test_letters_and_blanks_are_the_same_however_they_are_written(tmp_path, write_csv) -> None:
    findings = {"ep": "Épanchement", "ef": "Pleural Effusion"}
    cells = [("a.png", "E\u0301panchement"), ("b.png", "Pleural\u00a0 effusion"), ("c.png", "No Finding")]
    _, targets = listed(tmp_path, write_csv, cells, findings=findings)
    assert (targets["a.png"], targets["b.png"]) == ({"ep": 1, "ef": 0}, {"ep": 0, "ef": 1})


@pytest.mark.parametrize("word", ["none", "-", "None"])
def test_a_normal_word_may_be_one_that_else_says_nothing(tmp_path, write_csv, word: str) -> None:
    _, targets = listed(tmp_path, write_csv, [*BOTH, ("a.png", word)], normal_values=[word.lower()])
    assert targets["a.png"] == {"pn": 0, "ef": 0}


@pytest.mark.parametrize("boxes", ["[]", "[[]]", " [ ] ", "", "nan"])
def test_an_empty_list_of_boxes_is_no_box(tmp_path, write_csv, boxes: str) -> None:
    write_csv(tmp_path / "t.csv", [["file", "labels", "boxes"], ["a.png", "Pneumonia|Effusion", boxes],
                                   ["b.png", "Effusion", "[[1, 2, 3, 4]]"]])  # fmt: skip
    block = {"layout": "folder", "identifiers": "distributed", "table": "t.csv",
             "columns": {"image": "file", "findings": "labels", "boxes": "boxes"},
             "findings": {"pn": "Pneumonia", "ef": "Effusion"}}  # fmt: skip
    labels = read_labels(tmp_path, LabelImagesSettings.model_validate(block)).labels
    assert not any(each.boxes for each in labels["a.png"].findings.values())
    assert len(labels["b.png"].findings["ef"].boxes) == 1

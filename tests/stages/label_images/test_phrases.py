"""Phrases of own tables: sentences with the boxes that they are of, in a table of their own."""

from pathlib import Path

import pytest

from stages.common.data.identifiers import read_or_create_key
from stages.common.errors import InputError
from stages.common.settings import validating
from stages.label_images.contract import LabelImagesSettings

ROWS, COLUMNS = 200, 100
HEADER = ["dicom_id", "category_name", "label_text", "x", "y", "w", "h", "image_width", "image_height", "path"]
BOXES = {"boxes": ["x", "y", "w", "h"], "boxes_size": ["image_width", "image_height"], "phrase": "label_text"}
LISTED = {
    "layout": "folder", "table": "t.csv", "identifiers": "distributed", "subsets": [100],
    "columns": {"image": "path", "image_id": "dicom_id", "findings": "category_name"} | BOXES,
    "findings": {"edema": "Edema", "pneumonia": "Pneumonia"}, "split": {"train": 0, "validation": 0, "test": 1},
}  # fmt: skip
LEFT, RIGHT = [10, 20, 30, 40], [50, 100, 25, 50]
IMAGES = {name: f"p{name}" for name in "abcd"}


def row(image: str, category: str, phrase: str, box: list[int] | None, scale: float = 1) -> list[str]:
    cells = [""] * 4 if box is None else [str(number / scale) for number in box]
    return [image, category, phrase, *cells, str(COLUMNS / scale), str(ROWS / scale), f"files/{image}.jpg"]


GIVEN = [
    row("a", "Edema", "mild edema", LEFT),
    row("a", "Edema", "mild  edema ", RIGHT),  # one phrase, with two boxes
    row("a", "Edema", "edema at the base", RIGHT),  # a box of two phrases
    row("a", "Pneumonia", "mild edema", LEFT),  # one sentence about two findings
    row("b", "Pneumonia", "focal pneumonia", LEFT, scale=2),  # drawn on a smaller copy
    row("c", "Lung Opacity", "an opacity", LEFT),  # no finding of the settings
]


def as_tuples(phrases: list[dict]) -> list[tuple]:
    return sorted((each["image_id"], each["finding"], each["phrase"], each["boxes"]) for each in phrases)


def test_rows_of_one_image_and_sentence_are_one_phrase(labelled, tmp_path: Path, write_csv) -> None:
    write_csv(tmp_path / "t.csv", [HEADER, *GIVEN])
    result = labelled(tmp_path, LISTED, IMAGES, (ROWS, COLUMNS))
    assert as_tuples(result.phrases) == [
        ("a", "edema", "edema at the base", [RIGHT]),
        ("a", "edema", "mild edema", [LEFT, RIGHT]),
        ("a", "pneumonia", "mild edema", [LEFT]),
        ("b", "pneumonia", "focal pneumonia", [LEFT]),
    ]
    assert {(each["patient_id"], each["split"]) for each in result.phrases} == {("pa", "test"), ("pb", "test")}
    assert result.card["phrases"] == 4
    # One row per image and finding, with all boxes; what no sentence is about is unknown, not absent.
    labels = {(each["image_id"], each["finding"]): (each["target"], each["boxes"]) for each in result.rows}
    assert labels == {("a", "edema"): (1, [LEFT, RIGHT]), ("a", "pneumonia"): (1, [LEFT]),
                      ("b", "pneumonia"): (1, [LEFT])}  # fmt: skip


def test_phrases_have_the_part_of_their_image_and_follow_a_list_into_two(labelled, tmp_path: Path, write_csv) -> None:
    write_csv(tmp_path / "t.csv", [HEADER, *GIVEN, row("d", "Edema", "edema", LEFT)])
    lists = [["image_id", "split"], ["a", "train"], ["b", "val"], ["b", "test"], ["d", "test"]]
    write_csv(tmp_path / "lists.csv", lists)
    settings = {key: value for key, value in LISTED.items() if key != "split"} | {"split_lists": {"table": "lists.csv"}}
    result = labelled(tmp_path, settings, IMAGES, (ROWS, COLUMNS))
    parts = sorted((each["image_id"], each["split"]) for each in result.phrases)
    assert parts == [("a", "train")] * 3 + [("b", "test"), ("b", "validation"), ("d", "test")]


def test_one_finding_with_labels_has_phrases_too_and_negatives(labelled, tmp_path: Path, write_csv) -> None:
    header = ["file", "sick", "sentence", "where"]
    rows = [["a", "1", "an effusion", "10 20 30 40; 50 100 25 50"], ["b", "0", "", ""], ["c", "1", "", ""],
            ["d", "0", "nan", ""]]  # fmt: skip
    write_csv(tmp_path / "t.csv", [header, *rows])
    columns = {"image": "file", "target": "sick", "boxes": "where", "phrase": "sentence"}
    settings = {"layout": "folder", "table": "t.csv", "identifiers": "distributed", "subsets": [100],
                "finding": "effusion", "columns": columns, "split": LISTED["split"]}  # fmt: skip
    result = labelled(tmp_path, settings, IMAGES, (ROWS, COLUMNS))
    assert as_tuples(result.phrases) == [("a", "effusion", "an effusion", [LEFT, RIGHT])]
    assert sorted(each["target"] for each in result.rows) == [0, 0, 1, 1]


def test_halves_are_counted_once_and_kept_out(labelled, tmp_path: Path, write_csv, capsys) -> None:
    halves = [row("b", "Edema", "", RIGHT), row("b", "Edema", "nan", LEFT), row("d", "Edema", "some edema", None)]
    write_csv(tmp_path / "t.csv", [HEADER, *GIVEN, *halves])
    result = labelled(tmp_path, LISTED, IMAGES, (ROWS, COLUMNS))
    assert [each["phrase"] for each in result.phrases if each["image_id"] in "bd"] == ["focal pneumonia"]
    assert next(each["boxes"] for each in result.rows if (each["image_id"], each["finding"]) == ("b", "edema"))
    said = capsys.readouterr().err
    assert "row 8: image b: a box without phrase (2 such): nothing is pointed at with it" in said
    assert "row 10: image d: a phrase without box (1 such): nothing is pointed at with it" in said
    assert "every labelled image" not in said  # that edema is present wherever it is named is no mistake


def test_a_data_set_without_phrases_has_an_empty_table(labelled, tmp_path: Path, write_csv) -> None:
    columns = {key: value for key, value in LISTED["columns"].items() if key != "phrase"}
    write_csv(tmp_path / "t.csv", [HEADER, *GIVEN])
    result = labelled(tmp_path, LISTED | {"columns": columns}, IMAGES, (ROWS, COLUMNS))
    assert (result.phrases, result.card["phrases"]) == ([], 0)
    assert {each["target"] for each in result.rows} == {0, 1}  # as before: what is not listed is absent


def test_a_column_without_any_phrase_is_refused(refusal, tmp_path: Path, write_csv) -> None:
    write_csv(tmp_path / "t.csv", [HEADER, row("a", "Edema", "", LEFT), row("b", "Pneumonia", "pneumonia", None)])
    assert "t.csv: no row has a phrase and a box; correct `columns.phrase`" in refusal(tmp_path, LISTED, IMAGES)


def test_a_misplaced_box_does_not_quote_the_sentence_of_a_report(refusal, tmp_path: Path, write_csv) -> None:
    write_csv(tmp_path / "t.csv", [HEADER, row("a", "Edema", "secret sentence", [10, 20, 0, 40])])
    settings = LISTED | {"identifiers": "keyed", "findings": {"edema": "Edema"}}
    read_or_create_key(tmp_path / "private")
    line = refusal(tmp_path, settings, IMAGES, (ROWS, COLUMNS), private=tmp_path / "private")
    assert "row 2: box 10 20 0 40 is empty" in line
    assert "secret" not in line


def test_phrases_in_no_test_part_are_warned_about(labelled, tmp_path: Path, write_csv, capsys) -> None:
    write_csv(tmp_path / "t.csv", [HEADER, *GIVEN])
    labelled(tmp_path, LISTED | {"split": {"train": 1, "validation": 0, "test": 0}}, IMAGES, (ROWS, COLUMNS))
    assert "none of 4 phrases is in the test part" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("columns", "more", "complaint"),
    [
        ({"boxes": None, "boxes_size": None}, {}, "`phrase` is the sentence that the boxes of a row are of"),
        ({}, {"readers": {"column": "path"}}, "`readers` agree on boxes of findings, not of phrases"),
    ],
)
def test_settings_that_cannot_have_phrases_are_refused(columns: dict, more: dict, complaint: str) -> None:
    with pytest.raises(InputError) as refused, validating("config.yaml", LabelImagesSettings):
        LabelImagesSettings.model_validate(LISTED | {"columns": LISTED["columns"] | columns} | more)
    assert complaint in str(refused.value)


def test_settings_without_phrases_keep_their_digest() -> None:
    settings = LabelImagesSettings.model_validate(LISTED | {"columns": LISTED["columns"] | {"phrase": None}})
    assert "phrase" not in settings.model_dump()["columns"]

"""Boxes in a table of their own, labels of whole studies, chosen rows and further words."""

from pathlib import Path

import pytest

from stages.common.errors import InputError
from stages.common.settings import validating
from stages.label_images.contract import LabelImagesSettings
from stages.label_images.label_tables import read_labels

LISTED = {"layout": "folder", "identifiers": "distributed", "table": "t.csv",
          "columns": {"image": "file", "findings": "labels"},
          "findings": {"mass": "Mass", "nodule": {"target": "Nodule", "also": ["Nodules"]}},
          "boxes_table": {"table": "b.csv", "image": "file", "finding": "word", "words": {"Lump": "Mass"},
                          "boxes": ["Bbox [x", "y", "w", "h]"]}}  # fmt: skip
HEADER = ["file", "word", "Bbox [x", "y", "w", "h]", "", "", ""]
ONE = [["file", "labels"], ["a.png", "Mass|Nodules"], ["b.png", "No Finding"], ["c.png", "Mass"]]


def read(tmp_path: Path, write_csv, boxes: list[list[str]], table: list[list[str]] = ONE, **more):
    write_csv(tmp_path / "t.csv", table)
    write_csv(tmp_path / "b.csv", [HEADER, *boxes])
    return read_labels(tmp_path, LabelImagesSettings.model_validate(LISTED | more))


def test_boxes_come_to_their_findings_and_rows_may_end_where_the_header_has_no_name(tmp_path: Path, write_csv) -> None:
    rows = [["a.png", "Lump", "1.5", "2", "3", "4"], ["a.png", "Nodule", "5", "6", "7", "8", "", "", ""],
            ["a.png", "Lump", "9", "9", "1", "1"], ["c.png", "Other", "1", "1", "1", "1"]]  # fmt: skip
    found = read(tmp_path, write_csv, rows)
    boxes = {(image, name): [box[1:5] for box in own.boxes] for image, each in found.labels.items()
             for name, own in each.findings.items() if own.boxes}  # fmt: skip
    assert boxes == {("a.png", "mass"): [(1.5, 2, 3, 4), (9, 9, 1, 1)], ("a.png", "nodule"): [(5, 6, 7, 8)]}
    assert found.labels["b.png"].findings["nodule"].target == 0
    source = tmp_path / "b.csv"
    assert found.warnings == [f"{source}: 1 boxes have words that no finding has (Other 1): they are not used"]


def test_boxes_of_absent_findings_are_refused_and_those_of_unknown_images_are_told(tmp_path: Path, write_csv) -> None:
    with pytest.raises(InputError, match=r"b\.csv: row 2: image b.png: a box, but mass is absent; correct the row"):
        read(tmp_path, write_csv, [["b.png", "Lump", "1", "2", "3", "4"]])
    found = read(tmp_path, write_csv, [["x.png", "Lump", "1", "2", "3", "4"], ["a.png", "Lump", "1", "2", "3", "4"]])
    assert found.warnings == [f"{tmp_path / 'b.csv'}: row 2: image x.png: a box, but the table of labels lacks the "
                              "image (1 such)"]  # fmt: skip


def test_words_that_no_finding_has_are_refused(tmp_path: Path, write_csv) -> None:
    with pytest.raises(InputError, match=r"b\.csv: no row of word has a word of `findings`; correct `boxes_table.find"):
        read(tmp_path, write_csv, [["a.png", "Tumour", "1", "2", "3", "4"]])


def test_the_only_finding_needs_no_word(tmp_path: Path, write_csv) -> None:
    write_csv(tmp_path / "t.csv", [["file", "sick"], ["a.png", "1"], ["b.png", "0"]])
    write_csv(tmp_path / "b.csv", [["file", "box"], ["a.png", "1 2 3 4"]])
    block = {"layout": "folder", "table": "t.csv", "finding": "mass", "columns": {"image": "file", "target": "sick"},
             "boxes_table": {"table": "b.csv", "image": "file", "boxes": "box"}}  # fmt: skip
    settings = LabelImagesSettings.model_validate(block)
    assert [box[1:5] for box in read_labels(tmp_path, settings).labels["a.png"].findings["mass"].boxes] == [
        (1, 2, 3, 4)
    ]
    assert settings.outlined
    assert settings.files() == ["t.csv", "b.csv"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"boxes_table": {**LISTED["boxes_table"], "finding": None}}, "which `findings` need and `finding` not"),
        ({"columns": {"study": "s", "findings": "labels"}}, "`boxes_table` needs `columns.image`"),
        ({"columns": {"image": "file", "study": "s", "findings": "l"}}, "name either `image`, or `study`"),
        ({"columns": {"findings": "l"}}, "name either `image`, or `study`"),
        ({"columns": {"study": "s", "findings": "l", "boxes": "b"}}, "rows of studies have no image"),
        ({"findings": {"mass": "Mass", "lump": {"target": "Lump", "also": ["Mass"]}}}, "'Mass' is the target of two"),
    ],
)
def test_what_does_not_go_together_is_refused(more: dict, said: str) -> None:
    with pytest.raises(InputError, match=said), validating("settings"):
        LabelImagesSettings.model_validate(LISTED | more)


def test_further_words_need_the_column_that_has_them() -> None:
    block = {"layout": "folder", "table": "t.csv", "columns": {"image": "file"}}
    with (
        pytest.raises(InputError, match=r"findings\.mass\.also: further words need the column"),
        validating("settings"),
    ):
        LabelImagesSettings.model_validate(block | {"findings": {"mass": {"target": "Mass", "also": ["Lump"]}}})


STUDIES = {"layout": "folder", "identifiers": "distributed", "table": "t.csv", "columns": {"study": "exam"},
           "findings": {"mass": "Mass"}, "split": {"train": 0.4, "validation": 0.3, "test": 0.3}}  # fmt: skip


def test_a_row_labels_all_images_of_its_study(tmp_path: Path, write_csv, labelled) -> None:
    rows = [[f"i{place}", str(place % 2)] for place in range(10)] + [["gone", "1"]]
    write_csv(tmp_path / "t.csv", [["exam", "Mass"], *rows])
    images = {f"i{place}": f"p{place}" for place in range(10)} | {"unknown": "p11"}
    found = labelled(tmp_path, STUDIES, images)  # an image's study has its id here
    assert {row["image_id"]: row["target"] for row in found.rows} == {f"i{place}": place % 2 for place in range(10)}
    assert found.card["rejects"]["label_without_image"]["count"] == 1
    assert found.card["rejects"]["image_without_label"]["count"] == 1


def test_several_images_of_a_study_have_its_label() -> None:
    from stages.label_images.distributed_labels import DistributedLabel, FindingLabel, LabelTable

    label = DistributedLabel(2, {"mass": FindingLabel(1)})
    table = LabelTable({"s1": label, "s3": label}, {"s2": 4}, {}, {"s1": ["edema"]}, ["a line"])
    spread = table.of_images({"a": "s1", "b": "s1", "c": "s2", "d": "s9"})
    assert spread.labels == {"a": label, "b": label, "s3": label}
    assert spread.unlabelled == {"c": 4}
    assert spread.uncertain == {"a": ["edema"], "b": ["edema"]}
    assert spread.warnings == ["a line"]


def test_only_chosen_rows_are_read(tmp_path: Path, write_csv) -> None:
    table = [
        ["file", "labels", "by"],
        ["a.png", "Mass|Nodule", "Physician"],
        ["b.png", "", ""],
        ["c.png", "Mass", "net"],
    ]
    found = read(
        tmp_path, write_csv, [["a.png", "Lump", "1", "2", "3", "4"]], table, only_rows={"by": ["Physician", ""]}
    )
    assert list(found.labels) == ["a.png"]
    with pytest.raises(
        InputError, match=r"no row of by has the cell 'Physican' of `only_rows`; correct it; it has , Phy"
    ):
        read(tmp_path, write_csv, [], table, only_rows={"by": ["Physican"]})
    with pytest.raises(InputError, match=r"t\.csv: .*who.*only_rows"):
        read(tmp_path, write_csv, [], table, only_rows={"who": ["x"]})
    with pytest.raises(InputError, match="leaves no row"):
        read(tmp_path, write_csv, [], table, only_rows={"by": ["net"], "file": ["a.png"]})

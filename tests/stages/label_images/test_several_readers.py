"""Several readers of an image: findings by vote, boxes by overlap, and what cannot be agreed on."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.errors import InputError
from stages.common.settings import validating
from stages.label_images.boxes import Box
from stages.label_images.contract import LabelImagesSettings
from stages.label_images.label_tables import read_labels
from stages.label_images.readers import agreed_boxes, overlap

VINDR = {"layout": "folder", "identifiers": "distributed", "table": "t.csv", "boxes_form": "xyxy",
         "columns": {"image": "image_id", "findings": "class_name", "boxes": ["x_min", "y_min", "x_max", "y_max"]},
         "findings": {"ild": "ILD", "mass": "Nodule/Mass"}, "readers": {"column": "rad_id"}}  # fmt: skip
HEADER = ["image_id", "class_name", "rad_id", "x_min", "y_min", "x_max", "y_max"]
NONE = ["No finding", "", "", "", ""]


def box(x: float, y: float, width: float, height: float, row: int = 2) -> Box:
    return Box(row, x, y, width, height)


def test_overlap_of_known_boxes() -> None:
    assert overlap(box(0, 0, 10, 10), box(0, 0, 10, 10)) == 1
    assert overlap(box(0, 0, 10, 10), box(5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert overlap(box(0, 0, 10, 10), box(10, 0, 10, 10)) == 0


def test_boxes_that_two_drew_are_their_mean_and_others_go() -> None:
    drawn = [[box(0, 0, 10, 10, 5), box(50, 50, 4, 4)], [box(2, 0, 10, 10, 3)], [box(200, 0, 5, 5)]]
    assert agreed_boxes(drawn, agree=2, iou=0.4) == (box(1, 0, 10, 10, 3),)
    assert agreed_boxes(drawn, agree=3, iou=0.4) == ()
    assert len(agreed_boxes(drawn, agree=1, iou=0.4)) == 3


def test_two_boxes_of_one_reader_are_never_one() -> None:
    assert agreed_boxes([[box(0, 0, 10, 10), box(1, 0, 10, 10)]], agree=2, iou=0.4) == ()
    twice = [box(0, 0, 10, 10), box(1, 0, 10, 10)]
    assert len(agreed_boxes([twice, twice], agree=2, iou=0.4)) == 2


SIDES = st.integers(1, 20)
BOXES = st.lists(st.lists(st.builds(box, SIDES, SIDES, SIDES, SIDES), max_size=3), max_size=4)


@given(BOXES, st.permutations(range(4)))
def test_the_order_of_readers_and_of_their_boxes_does_not_matter(drawn: list[list[Box]], order: list[int]) -> None:
    drawn = [list(dict.fromkeys(boxes)) for boxes in drawn]  # as a reader's rows are read
    turned = [[drawn[reader][place] for place in order if place < len(drawn[reader])] for reader in order
              if reader < len(drawn)]  # fmt: skip
    assert agreed_boxes(turned, 2, 0.4) == agreed_boxes(drawn, 2, 0.4)


def test_equal_boxes_are_one_before_similar_ones() -> None:
    two, one = [box(0, 0, 100, 100), box(20, 0, 100, 100)], [box(20, 0, 100, 100)]
    assert agreed_boxes([two, one], 2, 0.4) == agreed_boxes([one, two], 2, 0.4) == (box(20, 0, 100, 100),)


@given(BOXES)
def test_an_agreed_box_lies_within_the_hull_of_those_drawn(drawn: list[list[Box]]) -> None:
    every = [each for boxes in drawn for each in boxes]
    for found in agreed_boxes(drawn, 2, 0.4):
        assert min(each.x for each in every) <= found.x
        assert found.x + found.width <= max(each.x + each.width for each in every) + 1e-9


def labels(tmp_path: Path, write_csv, rows: list[list[str]], **more):
    write_csv(tmp_path / "t.csv", [HEADER, *rows])
    return read_labels(tmp_path, LabelImagesSettings.model_validate(VINDR | more))


def test_a_finding_is_present_where_two_of_three_say_so(tmp_path: Path, write_csv) -> None:
    rows = [["a", "ILD", "R1", "0", "0", "10", "10"], ["a", "ILD", "R2", "2", "0", "12", "10"], ["a", *NONE[:1], "R3",
            *NONE[1:]], ["b", "Nodule/Mass", "R1", "1", "1", "5", "5"], ["b", *NONE[:1], "R2", *NONE[1:]],
            ["b", *NONE[:1], "R3", *NONE[1:]], ["c", "ILD", "R1", "0", "0", "4", "4"],
            ["c", "ILD", "R2", "50", "50", "60", "60"]]  # fmt: skip
    read = labels(tmp_path, write_csv, rows, findings={"ild": "ILD", "mass": "Nodule/Mass"})
    found = {image: {name: (own.target, [box[1:5] for box in own.boxes]) for name, own in each.findings.items()}
             for image, each in read.labels.items()}  # fmt: skip
    assert found == {
        "a": {"ild": (1, [(1, 0, 10, 10)]), "mass": (0, [])},
        "b": {"ild": (0, []), "mass": (0, [])},
        "c": {"ild": (1, []), "mass": (0, [])},  # they agree that it is there, and not where
    }


def test_a_column_per_finding_is_voted_on_as_well(tmp_path: Path, write_csv) -> None:
    write_csv(tmp_path / "t.csv", [["image", "reader", "ild", "mass"], ["a", "1", "1", ""], ["a", "2", "1", ""],
                                   ["a", "3", "0", ""], ["b", "1", "-1", "1"], ["b", "2", "1", "1"]])  # fmt: skip
    block = {"layout": "folder", "table": "t.csv", "columns": {"image": "image"}, "uncertain_values": ["-1"],
             "findings": {"ild": "ild", "mass": "mass"}, "readers": {"column": "reader"}}  # fmt: skip
    read = read_labels(tmp_path, LabelImagesSettings.model_validate(block))
    targets = {image: {name: own.target for name, own in each.findings.items()} for image, each in read.labels.items()}
    assert targets == {"a": {"ild": 1}, "b": {"mass": 1}}
    assert read.uncertain == {"b": ["ild"]}


def test_readers_may_see_images_of_different_sizes(tmp_path: Path, write_csv) -> None:
    columns = VINDR["columns"] | {"boxes_size": ["w", "h"]}
    write_csv(tmp_path / "t.csv", [[*HEADER, "w", "h"], ["a", "ILD", "R1", "0", "0", "100", "100", "1000", "1000"],
                                   ["a", "ILD", "R2", "0", "0", "50", "50", "500", "500"],
                                   ["b", "Nodule/Mass", "R1", *[""] * 4, "1", "1"],
                                   ["b", "No finding", "R2", *[""] * 4, "1", "1"]])  # fmt: skip
    settings = LabelImagesSettings.model_validate(VINDR | {"columns": columns})
    [box] = read_labels(tmp_path, settings).labels["a"].findings["ild"].boxes
    assert box[1:] == (0, 0, 100, 100, (1000, 1000))


def test_lung_masks_of_all_readers_are_one(tmp_path: Path, write_csv) -> None:
    columns = VINDR["columns"] | {"lung_mask": "lungs"}
    rows = [["a", "ILD", "R1", *[""] * 4, ""], ["a", "Nodule/Mass", "R2", *[""] * 4, "l.png"]]
    settings = LabelImagesSettings.model_validate(VINDR | {"columns": columns})
    write_csv(tmp_path / "t.csv", [[*HEADER, "lungs"], *rows])
    assert read_labels(tmp_path, settings).labels["a"].lung_mask_file == "l.png"
    write_csv(tmp_path / "t.csv", [[*HEADER, "lungs"], *rows, ["a", "ILD", "R3", *[""] * 4, "m.png"]])
    with pytest.raises(InputError, match="row 4: image a: another lung mask than in a row before"):
        read_labels(tmp_path, settings)


def test_an_uncertain_finding_keeps_its_boxes_where_it_counts_as_present(tmp_path: Path, write_csv) -> None:
    write_csv(tmp_path / "t.csv", [["image", "reader", "ild", "box"], ["a", "1", "1", "0 0 9 9"],
                                   ["a", "2", "-1", "0 0 9 9"], ["b", "1", "0", ""], ["b", "2", "0", ""]])  # fmt: skip
    block = {"layout": "folder", "table": "t.csv", "columns": {"image": "image", "target": "ild", "boxes": "box"},
             "uncertain_values": ["-1"], "finding": "ild", "readers": {"column": "reader"}}  # fmt: skip
    found = {}
    for policy in ("ones", "ignore"):
        read = read_labels(tmp_path, LabelImagesSettings.model_validate(block | {"uncertain": policy}))
        own = read.labels["a"].findings["ild"] if "a" in read.labels else None
        found[policy] = None if own is None else (own.target, len(own.boxes))
    assert found == {"ones": (1, 1), "ignore": None}


def test_too_few_readers_are_refused(tmp_path: Path, write_csv) -> None:
    with pytest.raises(InputError, match=r"t\.csv: row 2: image a: 1 of the 2 readers who must agree; lower"):
        labels(tmp_path, write_csv, [["a", "ILD", "R1", "0", "0", "10", "10"], ["b", "Nodule/Mass", "R1", *[""] * 4]])


def test_a_row_without_reader_is_refused(tmp_path: Path, write_csv) -> None:
    with pytest.raises(InputError, match=r"t\.csv: row 2: .*rad_id"):
        labels(tmp_path, write_csv, [["a", "ILD", "", "0", "0", "10", "10"]])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"columns": VINDR["columns"] | {"mask": "m"}}, "`readers` agree on boxes, not on masks"),
        (
            {"boxes_table": {"table": "b.csv", "image": "i", "finding": "f", "boxes": "b"}},
            "are both given: boxes",
        ),
        ({"readers": {"column": "rad_id", "agree": 0}}, "readers.agree"),
    ],
)
def test_what_does_not_go_together_is_refused(more: dict, said: str) -> None:
    with pytest.raises(InputError, match=said), validating("settings"):
        LabelImagesSettings.model_validate(VINDR | more)

"""Boxes as users have them: four columns, corners, other sizes than the original's; all become the same boxes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.errors import InputError
from stages.common.settings import validating
from stages.label_images.boxes import BoxesAtTheEdge, parse_boxes
from stages.label_images.contract import LabelImagesSettings

ROWS, COLUMNS = 200, 100
BASE = {"layout": "folder", "table": "t.csv", "identifiers": "distributed", "subsets": [100]}
NAMES = [f"x{number}.png" for number in range(12)]
TRUE = {"x0.png": [[10, 20, 30, 40], [5, 6, 7, 8]], "x1.png": [[50, 100, 25, 50]]}

CORNERS = {"boxes": ["x_min", "y_min", "x_max", "y_max"]}
CELL = {"boxes": "where"}


def one(columns: dict, **more) -> dict:
    return BASE | {"finding": "effusion", "columns": {"image": "file", "target": "sick"} | columns} | more


def wide(columns: dict, **more) -> dict:
    found = {"effusion": {"target": "sick", "boxes": columns["boxes"]}, "edema": "other"}
    rest = {key: value for key, value in columns.items() if key != "boxes"}
    return BASE | {"findings": found, "columns": {"image": "file"} | rest} | more


def listed(columns: dict, **more) -> dict:
    return (
        BASE | {"findings": {"effusion": "Fluid"}, "columns": {"image": "file", "findings": "words"} | columns} | more
    )


def table(write, path, header: list[str], boxes: list[tuple[str, list[str]]]) -> None:
    """Write the boxes (image, cells), and the other images as negatives without box."""
    rows = [[image, "1", "0", "Fluid", *cells] for image, cells in boxes]
    present = {image for image, _ in boxes}
    rows += [[name, "0", str(number % 2), "No Finding", *[""] * len(header)]
             for number, name in enumerate(NAMES) if name not in present]  # fmt: skip
    write(path, [["file", "sick", "other", "words", *header], *rows])


def of(result) -> dict[str, list[list[float]]]:
    return {row["image_id"]: row["boxes"] for row in result.rows if row["boxes"]}


def per_box(change) -> list[tuple[str, list[str]]]:
    return [(image, [str(number) for number in change(*box)]) for image, boxes in TRUE.items() for box in boxes]


CASES = {
    "four columns": ({"boxes": ["a", "b", "c", "d"]}, {}, ["a", "b", "c", "d"], lambda *box: box),
    "corners": (
        CORNERS, {"boxes_form": "xyxy"}, CORNERS["boxes"], lambda x, y, w, h: (x, y, x + w, y + h)),
    "size of each row": (
        {"boxes": ["a", "b", "c", "d"], "boxes_size": ["w", "h"]}, {}, ["a", "b", "c", "d", "w", "h"],
        lambda *box: (*(number / 2 for number in box), COLUMNS / 2, ROWS / 2)),
    "shares of the sides": (
        {"boxes": ["a", "b", "c", "d"]}, {"boxes_size": [1, 1]}, ["a", "b", "c", "d"],
        lambda x, y, w, h: (x / COLUMNS, y / ROWS, w / COLUMNS, h / ROWS)),
    "resampled to a square, corners": (
        CORNERS, {"boxes_form": "xyxy", "boxes_size": [1024, 1024]}, CORNERS["boxes"],
        lambda x, y, w, h: (x * 10.24, y * 5.12, (x + w) * 10.24, (y + h) * 5.12)),
}  # fmt: skip


@pytest.mark.parametrize("settings", [one, wide, listed], ids=["one finding", "several findings", "a list of findings"])
@pytest.mark.parametrize("case", CASES)
def test_boxes_of_every_form_are_the_same_boxes(labelled, tmp_path, write_csv, settings, case):
    columns, keys, header, change = CASES[case]
    table(write_csv, tmp_path / "t.csv", header, per_box(change))
    result = labelled(tmp_path, settings(columns, **keys), dict.fromkeys(NAMES), (ROWS, COLUMNS))
    assert of(result) == {image: [pytest.approx(box, rel=1e-6) for box in boxes] for image, boxes in TRUE.items()}
    assert result.card["boxes_beyond_the_edge"] == 0


@pytest.mark.parametrize(
    "cells", ["10 20 30 40; 5 6 7 8", "[10, 20, 30, 40], [5, 6, 7, 8]", "[[10,20,30,40],[5,6,7,8]]",
              "[(10.0, 20.0, 30.0, 40.0), (5, 6, 7, 8)]", "10,20,30,40;5,6,7,8;"]
)  # fmt: skip
def test_several_boxes_in_a_cell(labelled, tmp_path, write_csv, cells):
    table(write_csv, tmp_path / "t.csv", ["where"], [("x0.png", [cells]), ("x1.png", ["[[50, 100, 25, 50]]"])])
    assert of(labelled(tmp_path, one(CELL), dict.fromkeys(NAMES), (ROWS, COLUMNS))) == TRUE


@given(st.lists(st.tuples(*[st.integers(1, 999)] * 4), min_size=1, max_size=4))
def test_corners_and_sizes_say_the_same(boxes):
    written = "; ".join(f"{x} {y} {x + w} {y + h}" for x, y, w, h in boxes)
    assert [box[1:5] for box in parse_boxes(2, written, "row 2", "xyxy")] == boxes


@given(st.tuples(*[st.floats(0.001, 0.5)] * 4), st.integers(10, 5000), st.integers(10, 5000))
def test_a_box_within_shares_stays_within_the_image(box, rows, columns):
    edge = BoxesAtTheEdge(Path("t.csv"), (1.0, 1.0), has_keys=True)
    image = {"image_id": "a", "original_rows": rows, "original_columns": columns}
    [scaled] = edge.add(image, parse_boxes(2, " ".join(map(str, box)), "row 2"))
    edge.refuse_misplaced()
    x, y, width, height = box
    assert scaled[1:5] == pytest.approx((x * columns, y * rows, width * columns, height * rows))
    assert not edge.beyond


@pytest.mark.parametrize(
    ("cells", "keys", "complaint"),
    [
        (["1", "2", "", "4"], {}, "row 2: image x0.png: c is blank, but the box has other numbers; fill it, or clear"),
        (["1", "2", "x", "4"], {}, "row 2: image x0.png: a box is four numbers, x y width height"),
        (["1", "2", "x", "4"], {"boxes_form": "xyxy"}, "a box is four numbers, x_min y_min x_max y_max"),
        (["1", "2", "0", "4"], {}, "row 2: image x0.png: box 1 2 0 4 is empty or outside the image"),
        (["1", "2", "-3", "4"], {}, "box 1 2 -3 4 is empty or outside the image"),
        (["30", "40", "10", "60"], {"boxes_form": "xyxy"}, "image x0.png: box 30 40 10 60 ends before it begins; "
         "if it is x y width height, set boxes_form: xywh"),
        (["30", "40", "30", "60"], {"boxes_form": "xyxy"}, "box 30 40 30 60 is empty"),
        (["0.1", "0.2", "0.3", "0.4"], {}, "box 0.1 0.2 0.3 0.4 lies within the first of its 100 x 200 pixels; shares "
         "of the sides? Set boxes_size: [1, 1]"),
        (["10", "20", "30", "40"], {"boxes_size": [1, 1]}, "lies outside its 100 x 200 pixels; xyxy given as xywh, or "
         "images resized? Set boxes_form or boxes_size"),
    ],
)  # fmt: skip
def test_what_is_no_box_is_refused(refusal, tmp_path, write_csv, cells, keys, complaint):
    table(write_csv, tmp_path / "t.csv", ["a", "b", "c", "d"], [("x0.png", cells)])
    settings = one({"boxes": ["a", "b", "c", "d"]}, **keys)
    assert complaint in refusal(tmp_path, settings, dict.fromkeys(NAMES), (ROWS, COLUMNS))


@pytest.mark.parametrize(
    ("size", "complaint"),
    [
        (["200", "100"], "row 2: image x0.png: a box drawn on 200 x 100 pixels, but the image has 100 x 200; correct "
         "the row, or `columns.boxes_size`, which is [width, height]"),
        (["0", "100"], "row 2: image x0.png: w x h is '0' x '100', not the size of an image"),
        (["", "100"], "w x h is '' x '100', not the size of an image"),
        (["inf", "inf"], "w x h is 'inf' x 'inf', not the size of an image"),
    ],
)  # fmt: skip
def test_a_size_that_cannot_be_that_of_the_image_is_refused(refusal, tmp_path, write_csv, size, complaint):
    table(write_csv, tmp_path / "t.csv", ["a", "b", "c", "d", "w", "h"], [("x0.png", ["1", "2", "3", "4", *size])])
    settings = one({"boxes": ["a", "b", "c", "d"], "boxes_size": ["w", "h"]})
    assert complaint in refusal(tmp_path, settings, dict.fromkeys(NAMES), (ROWS, COLUMNS))


@pytest.mark.parametrize(("columns", "rows", "fits"), [(512, 1024, True), (341, 683, True), (512, 1000, False)])
def test_the_rounded_size_of_a_resampled_image_fits(columns, rows, fits):
    edge = BoxesAtTheEdge(Path("t.csv"), (float(columns), float(rows)), has_keys=True)
    edge.add({"image_id": "a", "original_rows": 4000, "original_columns": 2000}, parse_boxes(2, "1 1 2 2", "row 2"))
    assert bool(edge.warnings()) is not fits


def test_sides_that_are_scaled_apart_are_warned_about_once(labelled, tmp_path, write_csv, capsys):
    table(write_csv, tmp_path / "t.csv", ["where"], [("x0.png", ["1 1 2 2"]), ("x1.png", ["1 1 2 2"])])
    labelled(tmp_path, one(CELL, boxes_size=[1024, 1024]), dict.fromkeys(NAMES), (ROWS, COLUMNS))
    said = capsys.readouterr().err
    assert said.count("a box drawn on 1024 x 1024 pixels, but the image has 100 x 200 (2 such): each side is") == 1


@pytest.mark.parametrize(("second", "complaint"), [("0", "absent, but present"), ("", "blank, but present")])
def test_rows_of_one_image_agree_in_its_label(refusal, tmp_path, write_csv, second, complaint):
    rows = [["x0.png", "1", "1", "2", "3", "4"], ["x0.png", second, "", "", "", ""], ["x1.png", "0", "", "", "", ""]]
    write_csv(tmp_path / "t.csv", [["file", "sick", "a", "b", "c", "d"], *rows])
    line = refusal(tmp_path, one({"boxes": ["a", "b", "c", "d"]}), dict.fromkeys(NAMES), (ROWS, COLUMNS))
    assert f"row 3: image x0.png: effusion is {complaint} in a row before" in line


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (one({"boxes": ["a", "b", "c"]}), "name one column, or four of one number each: [x, y, width, height]"),
        (one({"boxes": ["a", "b", "c", "c"]}), "'c' stands there twice"),
        (one(CELL | {"boxes_size": ["w"]}), "at least 2 items"),
        (one(CELL | {"boxes_size": ["w", "h"]}, boxes_size=[1, 1]), "`boxes_size` and `columns.boxes_size` are both"),
        (one(CELL, boxes_size=[0, 1]), "greater than 0"),
        (one(CELL, boxes_form="yxyx"), "'xywh' or 'xyxy'"),
        (one({}, boxes_form="xyxy"), "`boxes_form` describes the boxes of layout `folder`"),
        (one({}, boxes_size=[1, 1]), "`boxes_size` describes the boxes of layout `folder`"),
        ({"layout": "rsna", "finding": "f", "boxes_form": "xyxy"}, "`boxes_form` describes the boxes of layout"),
        (BASE | {"columns": {"image": "f"}, "findings": {"a": {"target": "a", "boxes": ["x", "y", "w", "h"]},
         "b": {"target": "b", "boxes": "h"}}}, "'h' is the boxes of two findings"),
    ],
)  # fmt: skip
def test_settings_that_describe_no_boxes_are_refused(settings, complaint):
    with pytest.raises(InputError) as refused, validating("config.yaml", LabelImagesSettings):
        LabelImagesSettings.model_validate(settings)
    assert complaint in str(refused.value)


def test_a_missing_column_of_the_four_is_named_with_its_key(refusal, tmp_path, write_csv):
    table(write_csv, tmp_path / "t.csv", ["a", "b", "c", "d"], [("x0.png", ["1", "2", "3", "4"])])
    line = refusal(tmp_path, wide({"boxes": ["a", "b", "c", "height"]}), dict.fromkeys(NAMES))
    assert "no column height; correct the table or `findings.effusion.boxes`" in line

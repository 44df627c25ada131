"""Label cells and boxes of users: what counts as absent, what is refused, and how a lost row is named."""

import gzip

import numpy as np
import polars as pl
import pytest
from PIL import Image

from stages.common.data.identifiers import keyed, read_or_create_key
from stages.common.settings import Settings
from stages.label_images.contract import LabelImagesSettings

FOLDER = {"layout": "folder", "finding": "pneumonia", "table": "t.csv", "identifiers": "distributed",
          "columns": {"image": "file", "target": "sick"}}  # fmt: skip
NONE = {"a": None, "b": None, "c": None, "d": None}
WITH_BOXES = FOLDER | {"columns": {"image": "file", "target": "sick", "boxes": "boxes"}}
BOX_HEADER = ["file", "sick", "boxes"]
SIIM = {"layout": "siim", "finding": "pneumothorax"}


def test_blank_can_mean_absent(labelled, tmp_path, write_csv):
    write_csv(tmp_path / "t.csv", [["file", "sick"], ["a", "1.0"], ["b", ""], ["c", "0.0"], ["d", "-1.0"]])
    settings = FOLDER | {"positive_values": ["1.0"], "negative_values": ["0.0", ""], "unlabelled_values": ["-1.0"]}
    result = labelled(tmp_path, settings, NONE)
    assert [(row["image_id"], row["target"]) for row in result.rows] == [("a", 1), ("b", 0), ("c", 0)]
    assert {reason: each["count"] for reason, each in result.card["rejects"].items() if each["count"]} == {
        "unlabelled": 1}  # fmt: skip


@pytest.mark.parametrize("values", ["unlabelled_values", "positive_values"])
def test_blank_can_be_in_any_list(labelled, tmp_path, write_csv, values):
    write_csv(tmp_path / "t.csv", [["file", "sick"], ["a", "1"], ["b", ""], ["c", "0"], ["d", "0"]])
    result = labelled(tmp_path, FOLDER | {values: ["1"] * (values == "positive_values") + [" "]}, NONE)
    assert [row["image_id"] for row in result.rows] == (
        ["a", "c", "d"] if values == "unlabelled_values" else list("abcd")
    )


def test_every_dropped_image_has_its_own_reason(labelled, tmp_path, write_csv, capsys):
    rows = [["file", "sick"], ["a", "1"], ["b", "0"], ["c", ""], ["d", "-1"], ["e", "-1"], ["lost", "1"], ["gone", ""]]
    write_csv(tmp_path / "t.csv", rows)
    result = labelled(tmp_path, FOLDER | {"unlabelled_values": ["-1"]}, NONE | {"e": None, "x": None})
    rejects = {reason: each for reason, each in result.card["rejects"].items() if each["count"]}
    assert rejects == {
        "label_without_image": {"count": 1, "first": ["lost"], "reasons": {}},
        "image_without_label": {"count": 1, "first": ["x"], "reasons": {}},
        "unlabelled": {"count": 2, "first": ["d", "e"], "reasons": {}},
        "blank_label": {"count": 1, "first": ["c"], "reasons": {}},
    }
    assert result.card["images"] == 6
    assert result.card["images"] == result.card["labelled"] + sum(
        rejects[reason]["count"] for reason in ("image_without_label", "unlabelled", "blank_label")
    )
    lines = [line.split(";")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "warning: label_without_image: 1, first lost in row 7 of t.csv",
        "warning: image_without_label: 1, first x",
        "warning: blank_label: 1, first c in row 4 of t.csv",
    ]


def test_a_label_without_image_says_why_there_is_none(labelled, tmp_path, write_csv, capsys):
    lost = [[f"lost{number}", "1"] for number in range(6)]
    write_csv(tmp_path / "t.csv", [["file", "sick"], ["a", "1"], ["b", "0"], ["c", "1"], ["d", "0"], *lost])
    rejects = {"lost0": "truncated", "lost1": "wrong_view", "lost2": "wrong_view", "unlabelled": "burned_in"}
    result = labelled(tmp_path, FOLDER, NONE, rejects=rejects)
    found = result.card["rejects"]["label_without_image"]
    assert found["reasons"] == {"wrong_view": 2, "truncated": 1, "not_in_index": 3}
    assert list(found["reasons"]) == ["wrong_view", "truncated", "not_in_index"]
    assert result.card["rejects"]["image_without_label"]["reasons"] == {}
    assert (
        "label_without_image: 6 (2 wrong_view, 1 truncated, 3 not in the index), first lost0 in row 6 of t.csv; see"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("lists", "value"),
    [
        ({"negative_values": ["1"]}, "'1' stands in positive_values and in negative_values"),
        ({"unlabelled_values": ["0"]}, "'0' stands in negative_values and in unlabelled_values"),
        ({"unlabelled_values": ["2", "1"]}, "'1' stands in positive_values and in unlabelled_values"),
        ({"negative_values": ["", "0"], "unlabelled_values": [" "]}, "'' stands in negative_values"),
    ],
)
def test_a_value_in_two_lists_is_an_error(lists, value):
    model: type[Settings] = LabelImagesSettings
    with pytest.raises(ValueError, match=value):
        model.model_validate(FOLDER | lists)


def test_a_box_on_a_negative_row_is_refused(refusal, tmp_path, write_csv):
    write_csv(tmp_path / "t.csv", [BOX_HEADER, ["a", "1", "1 1 2 2"], ["b", "0", "1 1 2 2"]])
    assert "t.csv: row 3: image b: a box, but sick is '0', which means absent" in refusal(tmp_path, WITH_BOXES, NONE)
    write_csv(tmp_path / "t.csv", [BOX_HEADER, ["a", "1", "1 1 2 2"], ["b", "", "1 1 2 2"]])
    settings = WITH_BOXES | {"negative_values": [""]}
    assert "t.csv: row 3: image b: a box, but sick is ''" in refusal(tmp_path, settings, NONE)


def test_a_mask_on_a_negative_row_is_refused_if_it_has_pixels(refusal, labelled, tmp_path, write_csv):
    settings = FOLDER | {"columns": {"image": "file", "target": "sick", "mask": "mask"}}
    for value in (0, 1):
        Image.fromarray(np.full((4, 4), value, dtype=np.uint8)).save(tmp_path / f"{value}.png")
    write_csv(tmp_path / "t.csv", [["file", "sick", "mask"], ["a", "1", "1.png"], ["b", "0", "0.png"]])
    assert labelled(tmp_path, settings, {"a": None, "b": None}, shape=(4, 4)).row("b")["mask"] == []
    write_csv(tmp_path / "t.csv", [["file", "sick", "mask"], ["a", "1", "1.png"], ["b", "0", "1.png"]])
    line = refusal(tmp_path, settings, {"a": None, "b": None}, shape=(4, 4))
    assert "t.csv: row 3: mask of image b: it has pixels of the finding, but the row says that it is absent" in line


@pytest.mark.parametrize(
    ("boxes", "complaint"),
    [
        (["1 1 2 2", "9 1 1 1"], "row 3: image b: box 9 1 1 1 lies outside its 8 x 8 pixels; correct it"),
        (["9 1 1 1", "1 1 2 2"], "row 2: image a: box 9 1 1 1 lies outside its 8 x 8 pixels; correct it"),
        (["4 4 7 7", "1 1 8 8"], "row 2: image a: box 4 4 7 7 extends beyond its 8 x 8 pixels, as do all 2 boxes; xyxy "
         "given as xywh, or images resized?"),
        (["4 4 7 7; 2 2 7 7", "40 40 2 2"], "as do all 3 boxes; xyxy given as xywh, or images resized?"),
        (["\uff11 1 2 2", "1 1 2 2"], "row 2: image a: a box is four numbers"),
        (["1_0 1 2 2", "1 1 2 2"], "row 2: image a: a box is four numbers"),
        (["1 1 2", "1 1 2 2"], "row 2: image a: a box is four numbers"),
        (["1 1 inf 2", "1 1 2 2"], "row 2: image a: box 1 1 inf 2 is empty or outside"),
    ],
)  # fmt: skip
def test_boxes_that_leave_the_image(refusal, tmp_path, write_csv, boxes, complaint):
    rows = [BOX_HEADER, *([name, "1", box] for name, box in zip("ab", boxes, strict=True)), ["c", "0", ""]]
    write_csv(tmp_path / "t.csv", rows)
    assert complaint in refusal(tmp_path, WITH_BOXES, NONE, shape=(8, 8))


def test_a_box_that_ends_outside_among_others_is_counted(labelled, tmp_path, write_csv):
    write_csv(tmp_path / "t.csv", [BOX_HEADER, ["a", "1", "1 1 2 2"], ["b", "1", "4 4 7 7"], ["c", "0", ""]])
    result = labelled(tmp_path, WITH_BOXES, NONE, shape=(8, 8))
    assert result.card["boxes_beyond_the_edge"] == 1


def test_all_boxes_of_rsna_beyond_the_edge(refusal, tmp_path, write_csv):
    header = ["patientId", "x", "y", "width", "height", "Target"]
    rows = [["a", "500", "10", "60", "20", "1"], ["b", "10", "200", "90", "90", "1"], ["c", "", "", "", "", "0"]]
    write_csv(tmp_path / "stage_2_train_labels.csv", [header, *rows])
    line = refusal(tmp_path, {"layout": "rsna", "finding": "f"}, NONE, shape=(256, 256))
    assert "row 2: image a: box 500 10 60 20 lies outside" in line
    assert "as do all 2 boxes; xyxy given as xywh, or images resized?" in line


@pytest.mark.parametrize("target", ["1", "0"], ids=["blank cells", "no positive image with a box is there"])
def test_a_declared_column_without_a_value_is_a_warning(labelled, tmp_path, write_csv, target, capsys):
    rest = [] if target == "1" else [["lost", "1", "1 1 2 2"]]
    write_csv(
        tmp_path / "t.csv", [BOX_HEADER, ["a", "1", ""], ["b", "0", ""], ["c", target, ""], ["d", "0", ""], *rest]
    )
    labelled(tmp_path, WITH_BOXES, NONE, shape=(8, 8))
    assert (
        f"warning: {tmp_path}/t.csv: `boxes` (columns.boxes) has no value in any labelled image, so nothing can be "
        "segmented or grounded; correct the column, or remove the key, or list in the data set's `evaluations` what"
    ) in capsys.readouterr().err
    labelled(tmp_path, FOLDER, NONE, shape=(8, 8))
    assert "segmented" not in capsys.readouterr().err


def test_an_empty_column_beside_a_filled_one_takes_nothing_away(labelled, tmp_path, write_csv, capsys):
    settings = FOLDER | {"columns": WITH_BOXES["columns"] | {"mask": "mask"}}
    rows = [["a", "1", "1 1 2 2", ""], *([name, "0", "", ""] for name in "bcd")]
    write_csv(tmp_path / "t.csv", [[*BOX_HEADER, "mask"], *rows])
    labelled(tmp_path, settings, NONE, shape=(8, 8))
    assert "`mask` (columns.mask) has no value in any labelled image; remove the key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("a,10 0", "row 2: mask of image a: a run of 0 after a gap of 10 overlaps the run before it, or is empty"),
        ("a,1_0 1", "row 2: mask of image a: the run lengths are not whole numbers"),
        ("a,\uff11 1", "row 2: mask of image a: the run lengths are not whole numbers"),
        ("a", "row 2 has 1 cells, but the header has 2"),
    ],
)
def test_rows_of_siim(refusal, tmp_path, row, complaint):
    (tmp_path / "train-rle.csv").write_text(f"ImageId, EncodedPixels\n{row}\nb, -1\n", encoding="utf-8")
    assert complaint in refusal(tmp_path, SIIM, NONE)


def test_a_packed_table_of_siim(labelled, tmp_path):
    (tmp_path / "train-rle.csv.gz").write_bytes(gzip.compress(b"ImageId, EncodedPixels\na, 1 2\nb, -1\n"))
    assert [row["target"] for row in labelled(tmp_path, SIIM, NONE).rows] == [1, 0]


def test_own_format_holds_for_every_table_of_the_user(labelled, tmp_path):
    def write(name: str, *rows: str) -> None:
        (tmp_path / name).write_bytes("\r\n".join(rows).replace(",", ";").encode("utf-16"))

    write("t.csv", "file,sick", "a,1", "b,0", "c,1", "d,0", "")
    write("patients.csv", "image_id,patient_id", "a,Jürgen", "b,Q", "c,R", "d,S")
    write("lungs.csv", "ImageId,EncodedPixels", "a,0 4")
    write("split.csv", "image_id,split", "a,train", "b,train", "c,validation", "d,test")
    settings = FOLDER | {"separator": ";", "encoding": "utf-16", "patients": "patients.csv", "lung_masks": "lungs.csv",
                         "split_lists": {"table": "split.csv"}}  # fmt: skip
    result = labelled(tmp_path, settings, NONE, shape=(4, 3))
    assert [row["split"] for row in result.rows] == ["train", "train", "validation", "test"]
    assert result.row("a")["patient_id"] == "Jürgen"
    assert result.card["lung_masks"] == 1


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64], ids=["integers", "as pandas stores them beside blanks"])
def test_labels_from_parquet(labelled, tmp_path, dtype):
    sick = pl.Series([1, 0, None, 0], dtype=dtype)
    pl.DataFrame({"file": list("abcd"), "sick": sick, "row": [9, 9, 9, 9]}).write_parquet(tmp_path / "t.parquet")
    result = labelled(tmp_path, FOLDER | {"table": "t.parquet"}, NONE)
    assert [(row["image_id"], row["target"]) for row in result.rows] == [("a", 1), ("b", 0), ("d", 0)]
    assert result.card["rejects"]["blank_label"] == {"count": 1, "first": ["c"], "reasons": {}}


def test_ids_that_never_match_show_the_form_of_one(refusal, tmp_path, write_csv):
    write_csv(tmp_path / "t.csv", [["file", "sick"], ["img/Smith_07.png", "1"], ["img/Jones_08.png", "0"]])
    line = refusal(tmp_path, FOLDER, NONE)
    assert "t.csv: none of 4 images has a label: the id of row 2 is img/Smith_07.png, an image's id is a" in line
    private = tmp_path / "private"
    images = {keyed(name, "image", read_or_create_key(private)): None for name in ("Smith_07.png", "Jones_08.png")}
    line = refusal(tmp_path, FOLDER | {"identifiers": "keyed"}, images, private=private)
    assert "the id of row 2 has the form aaa/aaaaa_99.aaa" in line
    assert "it must equal, letter by letter, the cell that index_inputs takes as id" in line
    assert "Smith" not in line


def test_a_table_of_blanks_is_said_to_be_one(refusal, tmp_path, write_csv):
    write_csv(tmp_path / "t.csv", [["file", "sick"], ["a", ""], ["b", "-1"]])
    line = refusal(tmp_path, FOLDER | {"unlabelled_values": ["-1"]}, NONE)
    assert "none of 4 images has a label: 1 blank and 1 unlabelled rows, no other; correct `columns.target`" in line


def test_no_message_of_a_keyed_set_quotes_a_header_or_an_id(refusal, tmp_path, write_csv):
    private = tmp_path / "private"
    read_or_create_key(private)
    settings = FOLDER | {"identifiers": "keyed", "patients": "p.csv"}
    write_csv(tmp_path / "t.csv", [["Smith", "x"], ["Jones", "1"]])
    write_csv(tmp_path / "p.csv", [["image_id", "patient_id"], ["Smith", "P"], ["Smith", "Q"]])
    line = refusal(tmp_path, settings, NONE, private=private)
    assert "no column file, sick; correct the table or `columns.image`, `columns.target`; it has 2 columns" in line
    write_csv(tmp_path / "t.csv", [["file", "sick"], ["Smith", "1"]])
    images = {keyed("Smith", "image", read_or_create_key(private)): None}
    line = refusal(tmp_path, settings, images, private=private)
    assert "p.csv: rows 2 and 3 have the same image_id" in line
    assert "Smith" not in line


def test_a_missing_root_shows_where_it_leads(refusal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = refusal("~", FOLDER, NONE)
    assert f"~: no such folder (looked for {tmp_path.resolve()}/~); `~` is not expanded, write the folder out" in line


def test_a_path_written_in_two_ways_is_one_label_and_finds_its_image(labelled, refusal, tmp_path, write_csv):
    rows = [["file", "sick"], ["./a", "1"], [".//b", "0"], ["c", "1"], ["d", "0"]]
    write_csv(tmp_path / "t.csv", rows)
    assert [row["image_id"] for row in labelled(tmp_path, FOLDER, NONE).rows] == list("abcd")
    write_csv(tmp_path / "t.csv", [*rows, ["./c", "0"]])
    assert "t.csv: rows 4 and 6 have the same file c" in refusal(tmp_path, FOLDER, NONE)

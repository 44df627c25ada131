"""Labels as distributed, joined with images: targets, boxes, masks, and an account of every remainder."""

import numpy as np
import polars as pl
import pytest
from PIL import Image

from stages.common.data.identifiers import keyed, read_or_create_key, write_map
from stages.common.data.run_lengths import decode

RSNA_HEADER = ["patientId", "x", "y", "width", "height", "Target"]
RSNA = {"layout": "rsna", "finding": "lung_opacity"}
SIIM = {"layout": "siim", "finding": "pneumothorax"}
FOLDER = {"layout": "folder", "finding": "pneumonia", "table": "t.csv", "identifiers": "distributed"}
NONE = {"a": None, "b": None, "c": None, "d": None}


@pytest.fixture
def rsna(tmp_path, write_csv):
    root = tmp_path / "rsna"
    rows = [RSNA_HEADER, ["a", "1.0", "2.0", "30.5", "40.0", "1"], ["b", "", "", "", "", "0"],
            ["a", "5.0", "6.0", "7.0", "8.0", "1"], ["c", "100.0", "0", "1000", "8.0", "1"],
            ["d", "", "", "", "", "0"]]  # fmt: skip
    write_csv(root / "stage_2_train_labels.csv", rows)
    return root


@pytest.fixture
def siim(tmp_path, write_csv):
    """4 rows x 3 columns: a has two regions, b, c and d none in the three ways to say so."""
    root = tmp_path / "siim"
    rows = [["ImageId", " EncodedPixels"], ["a", " 1 2"], ["b", " -1"], ["c", "-1"], ["a", " 5 1 1 2"], ["d", ""],
            ["e", " 11 1"]]  # fmt: skip
    write_csv(root / "train-rle.csv", rows)
    return root


def test_rsna_boxes_and_targets(labelled, rsna):
    result = labelled(rsna, RSNA, NONE)
    assert [row["image_id"] for row in result.rows] == ["a", "b", "c", "d"]
    assert [row["target"] for row in result.rows] == [1, 0, 1, 0]
    assert result.row("a")["boxes"] == [[1.0, 2.0, 30.5, 40.0], [5.0, 6.0, 7.0, 8.0]]
    assert result.row("b")["boxes"] == []
    assert {row["mask"] for row in result.rows} == {None}
    assert {row["finding"] for row in result.rows} == {"lung_opacity"}
    card = result.card
    assert (card["images"], card["labelled"], card["positives"], card["boxes"]) == (4, 4, 2, 3)
    assert card["boxes_beyond_the_edge"] == 1  # 100 + 1000 > 1024
    assert card["split_by"] == "image"
    assert "RSNA" in card["license"]
    assert "Kaggle" in card["how_to_get"]


def test_what_finds_no_partner_is_counted_and_named(labelled, rsna, capsys):
    result = labelled(rsna, RSNA, {"a": None, "b": None, "x": None})
    assert result.card["rejects"]["label_without_image"] == {"count": 2, "first": ["c", "d"], "reasons": {}}
    assert result.card["rejects"]["image_without_label"] == {"count": 1, "first": ["x"], "reasons": {}}
    assert (result.card["images"], result.card["labelled"]) == (3, 2)
    warnings = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in warnings] == [
        "warning: label_without_image: 2, first c in row 5 of stage_2_train_labels.csv",
        "warning: image_without_label: 1, first x"]  # fmt: skip


def test_siim_rows_of_an_image_are_one_mask(labelled, siim):
    result = labelled(siim, SIIM, NONE | {"e": None}, shape=(4, 3))
    assert [row["target"] for row in result.rows] == [1, 0, 0, 0, 1]
    # column-major pixels 1, 2 and 5, 7, 8 of 4 rows
    expected = np.array([[0, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0]], dtype=bool)
    assert (decode(result.row("a")["mask"], 4, 3) == expected).all()
    assert [row["mask"] for row in result.rows[1:4]] == [None] * 3
    assert result.card["masks"] == 2


def test_siim_mask_that_leaves_the_image_names_it(refusal, siim):
    line = refusal(siim, SIIM, NONE | {"e": None}, shape=(3, 3))
    reason = "a run of 1 after a gap of 11 extends beyond the image of 3 x 3 pixels"
    assert f"train-rle.csv: row 7: mask of image e: {reason}" in line


@pytest.mark.parametrize(
    ("runs", "complaint"),
    [
        ("1 2 3", "the run lengths are not pairs of gap and length"),
        ("1 x", "the run lengths are not whole numbers"),
        ("1 2 -1 2", "a run of 2 after a gap of -1 overlaps the run before it"),
        ("0 13", "a run of 13 after a gap of 0 extends beyond the image of 4 x 3 pixels"),
    ],
)
def test_bad_run_lengths_name_file_row_and_image(refusal, siim, write_csv, runs, complaint):
    write_csv(siim / "train-rle.csv", [["ImageId", " EncodedPixels"], ["b", "-1"], ["a", f" {runs}"]])
    assert f"train-rle.csv: row 3: mask of image a: {complaint}" in refusal(siim, SIIM, NONE, shape=(4, 3))


def test_a_region_and_no_region_of_one_image_contradict_each_other(refusal, siim, write_csv):
    write_csv(siim / "train-rle.csv", [["ImageId", " EncodedPixels"], ["a", " 1 2"], ["b", "-1"], ["a", " -1"]])
    line = refusal(siim, SIIM, NONE, shape=(4, 3))
    assert "rows 4 and 2: image a has no region in the first but a region in the second" in line


def test_regions_that_share_pixels_are_united_and_counted(labelled, siim, write_csv):
    rows = [["ImageId", " EncodedPixels"], ["a", " 0 3"], ["a", " 2 2"], ["b", "0 1"], ["b", "1 1"], ["c", "-1"],
            ["d", "-1"]]  # fmt: skip
    write_csv(siim / "train-rle.csv", rows)
    result = labelled(siim, SIIM, NONE, shape=(4, 3))
    assert decode(result.row("a")["mask"], 4, 3).sum() == 4
    assert result.card["masks_of_overlapping_regions"] == 1


def test_lung_masks(labelled, rsna, write_csv):
    rows = [[name, *(["0", "0", "2", "1", "1"] if name == "a" else ["", "", "", "", "0"])] for name in "abcd"]
    write_csv(rsna / "stage_2_train_labels.csv", [RSNA_HEADER, *rows])
    write_csv(rsna / "lung_masks.csv", [["ImageId", "EncodedPixels"], ["a", "0 4"], ["b", "4 4 0 4"], ["z", "0 1"]])
    result = labelled(rsna, RSNA | {"lung_masks": "lung_masks.csv"}, NONE, shape=(4, 3))
    columns = [decode(result.row(name)["lung_mask"], 4, 3).all(axis=0).tolist() for name in "ab"]
    assert columns == [[True, False, False], [False, True, True]]
    assert result.row("c")["lung_mask"] is None
    assert result.card["lung_masks"] == 2
    assert result.card["rejects"]["lung_mask_without_image"] == {"count": 1, "first": ["z"], "reasons": {}}


def test_patients_from_a_table(labelled, refusal, rsna, write_csv):
    write_csv(rsna / "patients.csv", [["image_id", "patient_id"], ["a", "P"], ["b", "Q"], ["c", "P"], ["d", "R"]])
    settings = RSNA | {"patients": "patients.csv"}
    result = labelled(rsna, settings, NONE)
    assert [row["patient_id"] for row in result.rows] == ["P", "Q", "P", "R"]
    assert result.row("a")["split"] == result.row("c")["split"]
    assert result.card["split_by"] == "patient"
    assert sum(counts["patients"] for counts in result.card["splits"].values()) == 3
    assert labelled(rsna, RSNA, dict(zip("abcd", "PQPR", strict=True))).rows == result.rows
    assert "another patient" in refusal(rsna, settings, NONE | {"a": "Z"})
    assert "no patient for image e" in refusal(rsna_with_e(rsna, write_csv), settings, NONE | {"e": None})


def rsna_with_e(root, write_csv):
    write_csv(
        root / "stage_2_train_labels.csv", [RSNA_HEADER, ["e", "", "", "", "", "0"], ["a", "1", "1", "1", "1", "1"]]
    )
    return root


def test_folder_with_masks_in_png(labelled, tmp_path, write_csv):
    root = tmp_path / "folder"
    mask = np.zeros((5, 7), dtype=bool)
    mask[1:3, 2:6] = True
    (root / "m").mkdir(parents=True)
    Image.fromarray(mask).save(root / "m/bits.png")  # 1 bit a pixel
    Image.fromarray(mask.astype(np.uint8)).save(root / "m/small.png")  # values 0 and 1
    columns = ["file", "sick", "lung", "lesion", "place", "terms"]
    rows = [columns, ["a", "yes", "m/bits.png", "m/small.png", "1 2 3 4; 2 2 1 1", "CC BY"],
            ["b", "no", "", "", "", ""], ["c", "", "m/bits.png", "", "", "CC BY"],
            ["d", "probably", "", "", "", "CC BY"]]  # fmt: skip
    write_csv(root / "t.csv", rows)
    names = {
        "image": "file",
        "target": "sick",
        "lung_mask": "lung",
        "mask": "lesion",
        "boxes": "place",
        "license": "terms",
    }
    settings = FOLDER | {"columns": names, "positive_values": ["yes", "probably"], "negative_values": ["no"]}
    result = labelled(root, settings, dict(zip("abcd", "PQRS", strict=True)), shape=(5, 7))
    assert [(row["image_id"], row["target"]) for row in result.rows] == [("a", 1), ("b", 0), ("d", 1)]
    first = result.row("a")
    assert (decode(first["lung_mask"], 5, 7) == mask).all()
    assert first["mask"] == first["lung_mask"]
    assert first["boxes"] == [[1, 2, 3, 4], [2, 2, 1, 1]]
    assert result.row("b")["lung_mask"] is None
    assert result.card["license"] == "by image: CC BY: 2; not stated: 1"
    assert result.card["rejects"]["blank_label"] == {"count": 1, "first": ["c"], "reasons": {}}
    assert result.card["rejects"]["image_without_label"] == {"count": 0, "first": [], "reasons": {}}


def test_folder_targets_that_mean_neither_are_named_or_left_out(labelled, refusal, tmp_path, write_csv):
    root = tmp_path / "folder"
    write_csv(root / "t.csv", [["file", "sick"], ["a", "1"], ["b", "0"], ["c", "-1"], ["d", "0"]])
    settings = FOLDER | {"columns": {"image": "file", "target": "sick"}}
    assert "t.csv: row 4: image c: sick is '-1', not one of ['1', '0']" in refusal(root, settings, NONE)
    left = labelled(root, settings | {"unlabelled_values": ["-1"]}, NONE)
    assert left.card["rejects"]["unlabelled"] == {"count": 1, "first": ["c"], "reasons": {}}
    assert left.card["rejects"]["image_without_label"] == {"count": 0, "first": [], "reasons": {}}


def test_folder_is_keyed_with_the_key_of_index_inputs(labelled, refusal, tmp_path, write_csv):
    root, private = tmp_path / "folder", tmp_path / "private"
    write_csv(root / "t.csv", [["file", "sick"], ["x.png", "1"], ["y.png", "0"]])
    settings = {"layout": "folder", "finding": "f", "table": "t.csv", "columns": {"image": "file", "target": "sick"}}
    key = read_or_create_key(private)
    names = {keyed(name, "image", key): name for name in ("x.png", "y.png")}
    write_map(private / "set.csv", [("image", name, each) for each, name in names.items()])
    images = dict.fromkeys(names)
    result = labelled(root, settings, images, private=private)
    assert [row["target"] for row in result.rows] == [1, 0]
    assert "--private" in refusal(root, settings, images)
    assert "run index_inputs" in refusal(root, settings, images, private=tmp_path)
    assert "none of 2 images has a label" in refusal(root, settings, {"x.png": None, "y.png": None}, private=private)


def test_png_of_another_size_names_the_image_and_not_the_file(refusal, tmp_path, write_csv):
    root = tmp_path / "folder"
    write_csv(root / "t.csv", [["file", "sick", "lung"], ["a", "1", "secret.png"], ["b", "0", ""]])
    settings = FOLDER | {"columns": {"image": "file", "target": "sick", "lung_mask": "lung"}}
    assert "t.csv: row 2: lung mask of image a: the file is missing" in refusal(root, settings, NONE)
    Image.fromarray(np.ones((4, 4), dtype=np.uint8)).save(root / "secret.png")
    line = refusal(root, settings, NONE, shape=(5, 5))
    assert "lung mask of image a: 4 x 4 pixels, but the image has 5 x 5" in line
    assert "secret" not in line


def test_same_pixels_in_several_splits_are_counted(labelled, rsna):
    apart = labelled(rsna, RSNA | {"split": {"train": 0, "validation": 0.5, "test": 0.5}}, NONE)
    assert {row["split"] for row in apart.rows} == {"validation", "test"}
    assert apart.card["pixels_in_several_splits"] == 0
    settings = RSNA | {"split": {"train": 0, "validation": 0.5, "test": 0.5}}
    assert labelled(rsna, settings, NONE, pictures=dict.fromkeys(NONE, "same")).card["pixels_in_several_splits"] == 1


def test_same_input_same_bytes(labelled, rsna):
    first = labelled(rsna, RSNA, NONE)
    content, card = first.labels_path.read_bytes(), first.card
    again = labelled(rsna, RSNA, NONE)
    assert (again.labels_path.read_bytes(), again.card) == (content, card)
    other = labelled(rsna, RSNA | {"seed": 5}, NONE)
    assert other.card["seed"] == 5


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (["a", "", "", "", "", "1"], "row 2: image a: Target must be 1 with a box or 0 without one"),
        (["a", "1", "2", "3", "4", "0"], "row 2: image a: Target must be 1 with a box or 0 without one"),
        (["a", "1", "2", "3", "4", "2"], "row 2: image a: Target is 2, neither 0 nor 1"),
        (["a", "1", "2", "", "4", "1"], "row 2: image a: a box is four numbers"),
        (["a", "1", "2", "x", "4", "1"], "row 2: image a: a box is four numbers"),
        (["a", "1", "2", "0", "4", "1"], "row 2: image a: box 1 2 0 4 is empty or outside"),
        (["a", "-1", "2", "3", "4", "1"], "row 2: image a: box -1 2 3 4 is empty or outside"),
        (["a", "nan", "2", "3", "4", "1"], "row 2: image a: box nan 2 3 4 is empty or outside"),
        (["b", "1", "2", "3", "4", "1"], "row 3: image b has both Target 0 and 1"),
        (["a", "1024", "2", "3", "4", "1"], "row 2: image a: box 1024 2 3 4 lies outside its 1024 x 1024 pixels"),
        (["", "", "", "", "", "0"], "row 2: patientId is empty"),
    ],
)
def test_bad_rows_of_rsna_are_named(refusal, tmp_path, write_csv, row, complaint):
    write_csv(tmp_path / "rsna/stage_2_train_labels.csv", [RSNA_HEADER, row, ["b", "", "", "", "", "0"]])
    assert complaint in refusal(tmp_path / "rsna", RSNA, NONE)


def test_missing_tables(refusal, tmp_path, rsna):
    assert "no such folder" in refusal(tmp_path / "nowhere", RSNA, NONE)
    assert "lungs.csv: no such table of labels" in refusal(rsna, RSNA | {"lung_masks": "lungs.csv"}, NONE)
    (rsna / "stage_2_train_labels.csv").unlink()
    line = refusal(rsna, RSNA, NONE)
    assert "stage_2_train_labels.csv: no such table of labels" in line
    assert "Kaggle" in line


@pytest.mark.real_data
def test_rsna_sample(labelled, test_data):
    root = test_data / "rsna_sample"
    names = pl.read_csv(root / "stage_2_train_labels.csv")["patientId"].unique(maintain_order=True)
    result = labelled(root, RSNA, dict.fromkeys(names.to_list()))
    card = result.card
    assert (card["images"], card["labelled"], card["positives"], card["boxes"]) == (339, 339, 129, 205)
    assert card["boxes_beyond_the_edge"] == 0
    # 129 positives as 90 + 20 + 19 and 210 negatives as 147 + 32 + 31: largest remainders of 70/15/15 %
    assert [card["splits"][part]["images"] for part in ("train", "validation", "test")] == [237, 52, 50]
    assert all(counts["prevalence"] == pytest.approx(129 / 339, abs=0.02) for counts in card["splits"].values())
    assert [card["subsets"][percent]["images"] for percent in ("1", "10", "100")] == [2, 24, 237]
    assert [card["subsets"][percent]["positives"] for percent in ("1", "10", "100")] == [1, 9, 90]
    assert sum(value["count"] for value in card["rejects"].values()) == 0


@pytest.mark.real_data
def test_real_pairs(labelled, test_data):
    root = test_data / "real_pairs"
    table = pl.read_csv(root / "metadata.csv", infer_schema=False)
    columns = {"image": "file", "image_id": "image_id", "target": "label_pneumonia", "lung_mask": "lung_mask",
               "license": "license"}  # fmt: skip
    settings = {"layout": "folder", "finding": "pneumonia", "table": "metadata.csv", "columns": columns,
                "identifiers": "distributed"}  # fmt: skip
    shapes = {name: (int(height), int(width)) for name, height, width in
              table.select("image_id", "height", "width").iter_rows()}  # fmt: skip
    result = labelled(root, settings, dict(table.select("image_id", "patient_id").iter_rows()), shape=shapes)
    card = result.card
    # 132 positive, 3 negative, 29 without a label
    assert (card["images"], card["labelled"], card["positives"]) == (164, 135, 132)
    assert card["rejects"]["blank_label"]["count"] == 29
    assert card["rejects"]["image_without_label"]["count"] == 0
    assert card["split_by"] == "patient"
    masked = [row for row in result.rows if row["lung_mask"] is not None]
    assert len(masked) == card["lung_masks"] > 60
    for row in masked[:10]:
        share = decode(row["lung_mask"], *shapes[row["image_id"]]).mean()
        assert 0.1 < share < 0.7  # two lungs of a frontal radiograph

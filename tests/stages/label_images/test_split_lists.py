"""Lists of one's own are followed as they are; what they name and nobody knows is one line."""

import pytest

from stages.audit_splits.__main__ import WORK
from stages.common.command_line import run_stage
from stages.common.data.manifest import Manifest
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.common.records import write_record
from stages.label_images.contract import LabelImagesSettings

HEADER = ["patientId", "x", "y", "width", "height", "Target"]
IMAGES = dict.fromkeys([f"i{number}" for number in range(8)])
ONE = {"layout": "rsna", "finding": "lung_opacity", "split_lists": {"table": "lists.csv", "image_id": "id"}}


@pytest.fixture
def root(tmp_path, write_csv):
    rows = [[image, *(["1", "1", "2", "2", "1"] if number % 2 else ["", "", "", "", "0"])]
            for number, image in enumerate([*IMAGES, "rejected"])]  # fmt: skip
    write_csv(tmp_path / "rsna/stage_2_train_labels.csv", [HEADER, *rows])
    return tmp_path / "rsna"


def listed(write_csv, root, *rows):
    write_csv(root / "lists.csv", [["id", "split"], *rows])


PARTS = [["i0", "train"], ["i1", "Train"], ["i2", "val"], ["i3", "validate"], ["i4", "test"], ["i5", "test"]]


def test_one_table_is_followed_and_what_is_left_out_is_counted(labelled, root, write_csv):
    listed(write_csv, root, *PARTS, ["rejected", "train"])
    result = labelled(root, ONE, IMAGES)
    found = {row["image_id"]: row["split"] for row in result.rows}
    assert found == {"i0": "train", "i1": "train", "i2": "validation", "i3": "validation", "i4": "test", "i5": "test"}
    assert result.card["rejects"]["image_in_no_list"] == {"count": 2, "first": ["i6", "i7"], "reasons": {}}
    assert result.card["rejects"]["listed_without_image"] == {"count": 1, "first": ["rejected"], "reasons": {}}
    assert (result.card["split_by"], result.card["labelled"]) == ("lists of the user", 8)
    assert [result.card["splits"][part]["images"] for part in ("train", "validation", "test")] == [2, 2, 2]


def test_three_files_say_the_same_as_one_table(labelled, root, write_csv):
    listed(write_csv, root, *PARTS)
    one = labelled(root, ONE, IMAGES).rows
    for part, place in (("train", 0), ("validation", 2), ("test", 4)):
        write_csv(root / f"{part}.csv", [["id", "other"], *([image, "x"] for image, _ in PARTS[place : place + 2])])
    lists = {part: f"{part}.csv" for part in ("train", "validation", "test")} | {"image_id": "id"}
    assert labelled(root, ONE | {"split_lists": lists}, IMAGES).rows == one


def test_a_list_of_test_images_alone_is_a_split(labelled, root, write_csv):
    write_csv(root / "l.csv", [["id"], ["i1"], ["i4"], ["i4"]])
    result = labelled(root, ONE | {"split_lists": {"test": "l.csv", "image_id": "id"}}, IMAGES)
    assert {(row["image_id"], row["split"]) for row in result.rows} == {("i1", "test"), ("i4", "test")}
    assert [result.card["splits"][part]["images"] for part in ("train", "validation", "test")] == [0, 0, 2]
    assert result.card["rejects"]["image_in_no_list"]["count"] == 6
    with pytest.raises(ValueError, match="or `test` alone"):
        LabelImagesSettings.model_validate(ONE | {"split_lists": {"test": "l.csv", "train": "t.csv"}})


def test_rows_that_were_split_instead_of_images_are_kept_for_the_audit(labelled, root, write_csv):
    """As lists of SIIM that circulate: an image of several regions has several rows, and they fell apart."""
    listed(write_csv, root, *PARTS, ["i5", "train"], ["i5", "test"], ["i0", "train"])
    result = labelled(root, ONE, IMAGES)
    assert [(row["split"], row["subset"]) for row in result.rows if row["image_id"] == "i5"][1] == ("test", 100)
    assert [row["split"] for row in result.rows if row["image_id"] == "i5"] == ["train", "test"]
    assert [row["split"] for row in result.rows if row["image_id"] == "i0"] == ["train"]  # repeated, but one image


def test_a_list_of_rows_of_siim_stops_every_evaluation(labelled, tmp_path, write_csv, capsys):
    """From train-rle.csv and such a list to the audit: of an image with two rows, one is in train and one in test."""
    root, empty = tmp_path / "siim", "-1"
    table = [["ImageId", " EncodedPixels"], *([f"i{n}", empty] for n in range(5)), ["i5", " 0 9"], ["i5", " 50 9"]]
    write_csv(root / "train-rle.csv", table)
    parts = ["train", "train", "validation", "validation", "test", "train", "test"]
    listed(write_csv, root, *([row[0], part] for row, part in zip(table[1:], parts, strict=True)))
    result = labelled(
        root, ONE | {"layout": "siim", "finding": "pneumothorax"}, dict.fromkeys(f"i{n}" for n in range(6))
    )
    write_rows(tmp_path / "duplicates.arrow", schemas.DUPLICATES, [])
    write_rows(tmp_path / "pairs.arrow", schemas.PAIRS, [])
    counts = {"indexed": 6, "images": 6, "rejects": 0, "pictures": 6}
    write_record(tmp_path / "images.json", Manifest(dataset="siim", size=2, **counts, shards=[]))
    options = {"labels": result.labels_path, "dataset": "siim", "images": tmp_path / "images.json",
               "duplicates": tmp_path / "duplicates.arrow", "pretrain-on": "mimic_cxr",
               "pairs": tmp_path / "pairs.arrow", "pretrain-images": tmp_path / "images.json",
               "audit": tmp_path / "audit.json", "journal": tmp_path / "audit_journal.json"}  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        run_stage(WORK, [each for name, value in options.items() for each in (f"--{name}", str(value))])
    assert stop.value.code == 2
    assert "1 images are in more than one of train, validation and test" in capsys.readouterr().err
    assert not (tmp_path / "audit.json").exists()


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (["nobody", "test"], "lists.csv: row 8: image nobody is neither in the labels nor in the images (1 such)"),
        (["i6", "holdout"], "lists.csv: row 8: split is 'holdout'; write train, validation or test"),
        (["i6", ""], "lists.csv: row 8: split is empty"),
    ],
)
def test_rows_that_cannot_be_followed_are_named(refusal, root, write_csv, row, complaint):
    listed(write_csv, root, *PARTS, row)
    assert complaint in refusal(root, ONE, IMAGES)


def test_every_part_needs_images(refusal, root, write_csv):
    listed(write_csv, root, *PARTS[:2], *PARTS[4:])
    assert "leave no labelled image to validation" in refusal(root, ONE, IMAGES)


@pytest.mark.parametrize("lists", [{}, {"train": "a"}, {"table": "t", "train": "a", "validation": "b", "test": "c"}])
def test_settings_name_one_table_or_three(lists):
    with pytest.raises(ValueError, match="either `table`, or all of"):
        LabelImagesSettings.model_validate(ONE | {"split_lists": lists})

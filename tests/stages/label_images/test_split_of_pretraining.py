"""Labels of the data set that pre-training reads: their parts are those of the pairs, so no test image was seen."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.audit_splits.overlap import find_overlap
from stages.common.data.patient_split import PatientSplit, split_of
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.label_images.contract import LabelImagesSettings
from stages.label_images.label_split import follow_pretraining
from stages.pair_images_reports.pairing import pair

HEADER = ["patientId", "x", "y", "width", "height", "Target"]
SPLIT = {"seed": 3, "validation": 0.3, "test": 0.3}
ONE = {"layout": "rsna", "finding": "lung_opacity", "patient_split": SPLIT}
IMAGES = {f"i{number}": f"p{number // 2}" for number in range(120)}
PARTS = ("train", "validation", "test")


@pytest.fixture
def root(tmp_path, write_csv):
    rows = [[image, *(["1", "1", "2", "2", "1"] if number % 2 else ["", "", "", "", "0"])]
            for number, image in enumerate(IMAGES)]  # fmt: skip
    write_csv(tmp_path / "rsna/stage_2_train_labels.csv", [HEADER, *rows])
    return tmp_path / "rsna"


@pytest.fixture
def files(tmp_path):
    """Write index_inputs' table; patient p0 is in a part that the distribution names."""
    rows = [
        {"image_id": image, "study_id": image, "patient_id": patient, "dataset": "set", "path": image, "sha256": None,
         "view": None, "distributed_split": "validate" if patient == "p0" else None, "inverted": None,
         "sex": None, "age": None, "shard": 0}
        for image, patient in IMAGES.items()
    ]  # fmt: skip
    write_rows(tmp_path / "files.arrow", schemas.FILES, rows)
    return tmp_path / "files.arrow"


def test_the_parts_are_those_of_the_patients_and_the_card_says_so(labelled, root, files):
    result = labelled(root, ONE, IMAGES, files=files)
    settings = PatientSplit.model_validate(SPLIT)
    expected = {image: split_of(patient, settings) for image, patient in IMAGES.items()}
    expected |= {"i0": "validation", "i1": "validation"}
    assert {row["image_id"]: row["split"] for row in result.rows} == expected
    assert {part: counts["images"] for part, counts in result.card["splits"].items()} == {
        part: list(expected.values()).count(part) for part in PARTS
    }
    assert result.card["split_by"] == "patient, as in pre-training"
    assert (result.card["shares"], result.card["patient_split"]) == (None, SPLIT | {"use_distributed": True})


@given(st.integers(0, 50), st.floats(0, 0.5), st.floats(0, 0.4), st.integers(1, 60))
def test_the_audit_finds_no_overlap_with_the_pairs(seed: int, validation: float, test: float, people: int):
    settings = PatientSplit(seed=seed, validation=validation, test=test)
    images = pl.DataFrame(
        {"image_id": [f"i{number}" for number in range(3 * people)],
         "patient_id": [f"p{number % people}" for number in range(3 * people)]}
    ).with_columns(study_id="image_id", dataset=pl.lit("ours"), distributed_split=pl.lit(None, pl.String))  # fmt: skip
    pairs = pair(images, images.select("study_id"), settings).pairs
    rows = follow_pretraining(images.to_dicts(), dict.fromkeys(images["image_id"]), settings)
    copies = pl.DataFrame(schema=dict.fromkeys(("kind", "value", "dataset", "image_id"), pl.String))
    overlap = find_overlap(pl.DataFrame(rows), copies, pairs, "ours", "ours")
    assert overlap.found == {}


def test_an_image_without_patient_and_a_missing_table_are_named(refusal, root, files):
    assert "image i7 has no patient (1 such)" in refusal(root, ONE, IMAGES | {"i7": None}, files=files)
    assert "give --files" in refusal(root, ONE, IMAGES)


def test_a_part_without_positives_is_refused_before_training(refusal, root, files):
    small = ONE | {"patient_split": SPLIT | {"test": 1e-6}}
    line = refusal(root, small, IMAGES, files=files)
    assert (
        f"labels in {root}: no positive image is in the test part (0 images); raise the shares of `patient_split`"
        in line
    )


def test_settings_of_other_data_sets_keep_their_text_and_so_their_digest():
    settings = LabelImagesSettings.model_validate({"layout": "rsna", "finding": "lung_opacity"})
    assert "patient_split" not in settings.model_dump(mode="json")
    assert "patient_split" in LabelImagesSettings.from_text(json.dumps(ONE)).model_dump(mode="json")


def test_two_splits_contradict_each_other():
    with pytest.raises(ValueError, match="`patient_split` and `split_lists` are both given: keep one"):
        LabelImagesSettings.model_validate(ONE | {"split_lists": {"table": "lists.csv"}})

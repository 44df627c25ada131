"""Every way in which test images can be known to training is counted, and stops the job unless it is allowed."""

from pathlib import Path

import polars as pl
import pytest
from split_audit import CLEAN as NOTHING
from split_audit import overlap_of

from stages.audit_splits.overlap import find_overlap, refuse_overlap
from stages.common.errors import InputError

LABELS = pl.DataFrame(
    {
        "image_id": ["a", "b", "c", "d"],
        "patient_id": ["p", "q", "r", "s"],
        "split": ["train", "train", "validation", "test"],
    }
)
PAIRS = pl.DataFrame(
    {
        "image_id": ["x", "y", "z"],
        "study_id": ["1", "2", "3"],
        "patient_id": ["p", "q", "s"],
        "split": ["train", "validation", "test"],
    }
)
CLEAN = NOTHING.model_dump()


def copies(*rows: tuple[str, str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(("kind", "value", "dataset", "image_id"), pl.String), orient="row")


def found(labels=LABELS, table=None, pairs=PAIRS, pretrain_on: str = "mimic", same: bool = False) -> dict[str, int]:
    return find_overlap(labels, copies() if table is None else table, pairs, "rsna", pretrain_on, same).model_dump()


def test_a_clean_split_has_no_overlap() -> None:
    """Equal patient ids of two data sets mean nothing; copies within one part harm nobody."""
    within = copies(("pixels", "1", "rsna", "a"), ("pixels", "1", "rsna", "b"))
    elsewhere = copies(("pixels", "2", "siim", "a"), ("pixels", "2", "siim", "d"))
    assert found() == found(table=pl.concat([within, elsewhere])) == CLEAN


def test_rows_that_were_split_instead_of_images() -> None:
    row = pl.DataFrame({"image_id": ["d"], "patient_id": ["s"], "split": ["train"]})
    result = found(pl.concat([LABELS, row]))
    assert result == CLEAN | {"images_in_several_parts": 1, "patients_in_several_parts": 1}


def test_a_patient_in_two_parts_and_patients_unknown() -> None:
    shared = LABELS.with_columns(patient_id=pl.Series(["p", "q", "p", "s"]))
    assert found(shared) == CLEAN | {"patients_in_several_parts": 1}
    assert found(LABELS.with_columns(patient_id=pl.lit(None, dtype=pl.String))) == CLEAN


def test_copies_across_parts_by_pixels_or_instance() -> None:
    pixels = copies(("pixels", "1", "rsna", "a"), ("pixels", "1", "rsna", "d"), ("pixels", "u", "rsna", "d"))
    instances = copies(("instance", "u", "rsna", "b"), ("instance", "u", "rsna", "c"))
    assert found(table=pixels) == CLEAN | {"copies_in_several_parts": 2}
    table = pl.concat([pixels, instances])
    assert found(table=table) == CLEAN | {"copies_in_several_parts": 4}


def test_test_images_that_pretraining_saw() -> None:
    def copy_of(seen: str, image: str) -> pl.DataFrame:
        return copies(("pixels", "1", "mimic", seen), ("pixels", "1", "rsna", image))

    assert found(table=copy_of("x", "d")) == CLEAN | {"test_copies_in_pretraining": 1}
    assert found(table=copy_of("y", "d")) == CLEAN | {"test_copies_in_pretraining": 1}  # it chose the checkpoint
    assert found(table=copy_of("z", "d")) == CLEAN  # pre-training's own test part was not seen
    assert found(table=copy_of("x", "a")) == CLEAN  # seen without its label, and no test image


def test_one_data_set_for_both_is_compared_by_image_and_patient() -> None:
    pairs = pl.DataFrame({"image_id": ["d"], "study_id": ["1"], "patient_id": ["s"], "split": ["train"]})
    expected = CLEAN | {"test_copies_in_pretraining": 1, "test_patients_in_pretraining": 1}
    assert found(pairs=pairs, pretrain_on="rsna") == expected
    assert found(pairs=PAIRS.with_columns(image_id=pl.lit("w")), pretrain_on="rsna") == CLEAN  # s is in its test part


def test_patients_of_two_data_sets_are_compared_where_their_ids_mean_the_same() -> None:
    labels = LABELS.with_columns(patient_id=pl.Series(["a", "b", "c", "q"]))
    assert found(labels, same=True) == CLEAN | {"test_patients_in_pretraining": 1}  # q: validation of pre-training
    assert found(labels) == CLEAN
    assert found(LABELS.with_columns(patient_id=pl.lit(None, dtype=pl.String)), same=True) == CLEAN


def test_an_image_of_two_parts_is_no_copy_of_itself() -> None:
    row = pl.DataFrame({"image_id": ["d"], "patient_id": ["s"], "split": ["train"]})
    table = copies(("pixels", "1", "rsna", "d"), ("pixels", "1", "siim", "e"))
    assert found(pl.concat([LABELS, row]), table)["copies_in_several_parts"] == 0


def test_every_kind_of_overlap_stands_in_one_line() -> None:
    refuse_overlap(NOTHING, Path("labels.arrow"), "rsna")
    expected = r"^labels\.arrow: 3 patients are in more than one.*; 2 test images have a copy.*rsna\.audit_splits"
    with pytest.raises(InputError, match=expected) as error:
        refuse_overlap(overlap_of(0, 3, 0, 2, 0), Path("labels.arrow"), "rsna")
    assert "\n" not in str(error.value)

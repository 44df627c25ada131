"""Which images a job sees: nested subsets, whole validation and test, and what is said where a part teaches nothing."""

from pathlib import Path

import polars as pl
import pytest

from stages.common.errors import InputError
from stages.common.few_shot.parts import read_finding, split_parts
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.label_images.label_split import assign_subsets

LABELS = Path("labels.arrow")


def test_subsets_are_nested_and_the_other_parts_stay(labels) -> None:
    one, ten, all_of_it = (split_parts(labels, fraction, LABELS) for fraction in (1, 10, 100))
    ids = [set(parts.train["image_id"]) for parts in (one, ten, all_of_it)]
    assert ids[0] < ids[1] < ids[2]
    train = labels.filter(pl.col("split") == "train")
    assert ids[2] == set(train["image_id"])
    assert len(ids[1]) == pytest.approx(train.height / 10, abs=1)
    assert one.test.equals(all_of_it.test)
    assert one.validation.equals(all_of_it.validation)
    assert one.skipped is None  # label_images gives every subset one image of each target


@pytest.mark.parametrize(("targets", "reason"), [((1,), "all with target 1"), ((), "no image")])
def test_a_subset_that_teaches_nothing_is_skipped_with_a_reason(labels, targets, reason: str) -> None:
    spoilt = labels.filter(
        (pl.col("split") != "train") | (pl.col("subset") > 1) | pl.col("target").is_in(list(targets))
    )
    parts = split_parts(spoilt, 1, LABELS)
    assert reason in parts.skipped
    assert split_parts(spoilt, 10, LABELS).skipped is None


@pytest.mark.parametrize("fraction", [2, 7, 50, 99])
def test_a_fraction_that_the_labels_have_no_subset_of_is_refused(labels, fraction: int) -> None:
    with pytest.raises(InputError, match=rf"labels\.arrow: has subsets of 1, 10, 100 %, none of {fraction} %; correct"):
        split_parts(labels, fraction, LABELS)


def test_a_subset_of_few_images_may_equal_the_smaller_one(labels) -> None:
    """Of 5 images per target 1 % and 10 % are one image each, which label_images marks as the subset of 1 %."""
    train = labels.filter(pl.col("split") == "train").group_by("target", maintain_order=True).head(5)
    few = pl.concat([train.select(labels.columns), labels.filter(pl.col("split") != "train")]).to_dicts()
    subsets = assign_subsets(few, [row["split"] for row in few], [1, 10, 100], 0)
    rows = pl.DataFrame([row | {"subset": subset} for row, subset in zip(few, subsets, strict=True)])
    assert split_parts(rows, 10, LABELS).train.height == 2
    with pytest.raises(InputError, match="none of 40 %"):
        split_parts(rows, 40, LABELS)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_part_without_positives_cannot_be_measured(labels, part: str) -> None:
    spoilt = labels.filter((pl.col("split") != part) | (pl.col("target") == 0))
    with pytest.raises(InputError, match=rf"labels\.arrow: the {part} part needs positives and negatives; raise"):
        split_parts(spoilt, 100, LABELS)


def test_the_only_finding_needs_no_name_and_one_of_several_does(labels, tmp_path) -> None:
    rows = labels.to_dicts()
    write_rows(tmp_path / "one.arrow", schemas.LABELS, rows)
    assert read_finding(tmp_path / "one.arrow", None).height == len(rows)
    both = rows + [row | {"finding": "edema"} for row in rows]
    write_rows(tmp_path / "two.arrow", schemas.LABELS, both)
    with pytest.raises(InputError, match=r"two\.arrow: findings are edema, lung_opacity; select one"):
        read_finding(tmp_path / "two.arrow", None)
    assert set(read_finding(tmp_path / "two.arrow", "edema")["finding"]) == {"edema"}
    with pytest.raises(InputError, match="no label is of finding 'fracture'"):
        read_finding(tmp_path / "two.arrow", "fracture")

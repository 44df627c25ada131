"""Which images a job sees: nested subsets, whole validation and test, and what is said where a part teaches nothing."""

from pathlib import Path

import polars as pl
import pytest

from stages.common.data.label_matrix import label_matrix, read_label_matrix
from stages.common.errors import InputError
from stages.common.few_shot.parts import split_parts
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.label_images.label_split import assign_subsets

LABELS = Path("labels.arrow")


def test_subsets_are_nested_and_the_other_parts_stay(labels) -> None:
    one, ten, all_of_it = (split_parts(label_matrix(labels), fraction, LABELS) for fraction in (1, 10, 100))
    ids = [set(parts.train.images["image_id"]) for parts in (one, ten, all_of_it)]
    assert ids[0] < ids[1] < ids[2]
    train = labels.filter(pl.col("split") == "train")
    assert ids[2] == set(train["image_id"])
    assert len(ids[1]) == pytest.approx(train.height / 10, abs=1)
    assert one.test.images.equals(all_of_it.test.images)
    assert one.validation.images.equals(all_of_it.validation.images)
    assert one.skipped is None  # label_images gives every subset one image of each target


@pytest.mark.parametrize(("targets", "reason"), [((1,), "all with target 1"), ((), "no image")])
def test_a_subset_that_teaches_nothing_is_skipped_with_a_reason(labels, targets, reason: str) -> None:
    spoilt = labels.filter(
        (pl.col("split") != "train") | (pl.col("subset") > 1) | pl.col("target").is_in(list(targets))
    )
    parts = split_parts(label_matrix(spoilt), 1, LABELS)
    assert reason in parts.skipped
    assert split_parts(label_matrix(spoilt), 10, LABELS).skipped is None


@pytest.mark.parametrize("fraction", [2, 7, 50, 99])
def test_a_fraction_that_the_labels_have_no_subset_of_is_refused(labels, fraction: int) -> None:
    with pytest.raises(InputError, match=rf"labels\.arrow: has subsets of 1, 10, 100 %, none of {fraction} %; correct"):
        split_parts(label_matrix(labels), fraction, LABELS)


def test_a_subset_of_few_images_may_equal_the_smaller_one(labels) -> None:
    """Of 5 images per target 1 % and 10 % are one image each, which label_images marks as the subset of 1 %."""
    train = labels.filter(pl.col("split") == "train").group_by("target", maintain_order=True).head(5)
    few = pl.concat([train.select(labels.columns), labels.filter(pl.col("split") != "train")]).to_dicts()
    subsets = assign_subsets(few, [row["split"] for row in few], [1, 10, 100], 0)
    rows = pl.DataFrame([row | {"subset": subset} for row, subset in zip(few, subsets, strict=True)])
    assert split_parts(label_matrix(rows), 10, LABELS).train.images.height == 2
    with pytest.raises(InputError, match="none of 40 %"):
        split_parts(label_matrix(rows), 40, LABELS)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_part_without_positives_cannot_be_measured(labels, part: str) -> None:
    spoilt = labels.filter((pl.col("split") != part) | (pl.col("target") == 0))
    with pytest.raises(InputError, match=rf"labels\.arrow: the {part} part needs positives and negatives; raise"):
        split_parts(label_matrix(spoilt), 100, LABELS)


def test_all_findings_are_read_unless_some_are_named(labels, tmp_path) -> None:
    both = pl.concat([labels, labels.with_columns(finding=pl.lit("edema"))])
    write_rows(tmp_path / "two.arrow", schemas.LABELS, both.to_dicts())
    matrix = read_label_matrix(tmp_path / "two.arrow", ["edema"])
    assert split_parts(matrix, 10, LABELS).findings == ("lung_opacity", "edema")
    assert split_parts(matrix, 10, LABELS, ["edema"]).findings == ("edema",)
    with pytest.raises(InputError, match="no label is of finding 'fracture'"):
        read_label_matrix(tmp_path / "two.arrow", ["fracture"])


def test_findings_that_cannot_be_learned_or_measured_are_left_out_with_a_reason(labels) -> None:
    def named(name: str, spoil: pl.Expr) -> pl.DataFrame:
        return labels.with_columns(finding=pl.lit(name), target=pl.when(spoil).then(0).otherwise(pl.col("target")))

    few = named("no_test", (pl.col("split") == "test")), named("no_train", (pl.col("split") == "train"))
    parts = split_parts(label_matrix(pl.concat([labels, *few])), 10, LABELS)
    assert parts.findings == ("lung_opacity",)
    assert parts.skipped is None
    assert "0 positive and" in parts.not_measured["no_test"]
    assert "all with target 0" in parts.not_measured["no_train"]


def test_images_whose_labels_are_all_unknown_are_in_no_part(labels) -> None:
    some = labels.filter(pl.col("image_id") < "i0300")
    matrix = label_matrix(pl.concat([labels, some.with_columns(finding=pl.lit("edema"))]))
    parts = split_parts(matrix, 100, LABELS, ["edema"])
    images = [len(part.images) for part in (parts.train, parts.validation, parts.test)]
    assert images == [some.filter(pl.col("split") == part).height for part in ("train", "validation", "test")]

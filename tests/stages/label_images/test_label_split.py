"""Splits: by patient, stratified, nested, and a pure function of the set of images."""

import hashlib
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.errors import InputError
from stages.label_images.contract import LabelImagesSettings, SplitShares
from stages.label_images.label_split import PARTS, assign_splits, assign_subsets, part_sizes, split_by

SHARES = SplitShares()
PERCENTS = [1, 10, 100]


def rows_of(count: int, prevalence: float, images_a_patient: float = 1.5, patients: bool = True) -> list[dict]:
    generator = np.random.default_rng(count)
    people = max(1, round(count / images_a_patient))
    return [
        {
            "image_id": f"i{number}",
            "patient_id": f"p{generator.integers(people)}" if patients else None,
            "finding": "opacity",
            "target": int(number < round(count * prevalence)),
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("patients", [True, False])
def test_shares_and_prevalence(patients):
    rows = rows_of(2000, 0.25, patients=patients)
    parts = assign_splits(rows, SHARES, seed=0)
    for part, share in SHARES.model_dump().items():
        targets = [row["target"] for row, place in zip(rows, parts, strict=True) if place == part]
        assert len(targets) / len(rows) == pytest.approx(share, abs=0.02 if patients else 0.001)
        assert np.mean(targets) == pytest.approx(0.25, abs=0.04 if patients else 0.002)


def test_a_patient_is_in_one_part():
    rows = rows_of(500, 0.3, images_a_patient=4)
    parts_of = defaultdict(set)
    for row, part in zip(rows, assign_splits(rows, SHARES, seed=0), strict=True):
        parts_of[row["patient_id"]].add(part)
    assert all(len(parts) == 1 for parts in parts_of.values())


def test_order_of_rows_changes_nothing_and_the_seed_does():
    rows = rows_of(300, 0.3)
    shuffled = [rows[place] for place in np.random.default_rng(1).permutation(len(rows))]

    def assigned(table, seed):
        parts = assign_splits(table, SHARES, seed)
        subsets = assign_subsets(table, parts, PERCENTS, seed)
        return {row["image_id"]: place for row, *place in zip(table, parts, subsets, strict=True)}

    assert assigned(rows, 0) == assigned(shuffled, 0)
    assert assigned(rows, 0) != assigned(rows, 1)


@given(
    st.integers(0, 400),
    st.integers(0, 20).flatmap(lambda train: st.tuples(st.just(train), st.integers(0, 20 - train))),
)
def test_part_sizes_are_the_shares_in_whole_numbers(count, twentieths):
    train, validation = twentieths
    shares = SplitShares(train=train / 20, validation=validation / 20, test=(20 - train - validation) / 20)
    sizes = part_sizes(count, shares)
    assert sum(sizes.values()) == count
    for part in PARTS:
        share = getattr(shares, part)
        if share == 0:
            assert sizes[part] == 0
        elif count >= 3:
            assert sizes[part] >= 1
        assert abs(sizes[part] - count * share) < 3  # rounding, and at most one given to each of two empty parts


def test_rare_positives_are_in_every_part():
    rows = rows_of(100, 0.03, patients=False)
    parts = assign_splits(rows, SHARES, seed=0)
    assert Counter(part for row, part in zip(rows, parts, strict=True) if row["target"]) == dict.fromkeys(PARTS, 1)


@pytest.mark.parametrize(("count", "prevalence"), [(2000, 0.25), (100, 0.05), (7, 0.5)])
def test_subsets_are_nested_stratified_and_hold_both_targets(count, prevalence):
    rows = rows_of(count, prevalence, patients=False)
    parts = assign_splits(rows, SHARES, seed=0)
    subsets = assign_subsets(rows, parts, PERCENTS, seed=0)
    train = [(row["target"], subset) for row, part, subset in zip(rows, parts, subsets, strict=True) if part == "train"]
    assert {subset for subset, part in zip(subsets, parts, strict=True) if part != "train"} <= {100}
    for target in (0, 1):
        total = sum(value == target for value, _ in train)
        sizes = [sum(value == target and subset <= percent for value, subset in train) for percent in PERCENTS]
        assert sizes == sorted(sizes)  # nested: a row of 1 % counts in 10 % and in 100 %
        assert sizes == [max(1, int(total * percent / 100 + 0.5)) for percent in PERCENTS]


def test_a_share_of_zero_is_an_empty_part():
    rows = rows_of(60, 0.5, patients=False)
    parts = assign_splits(rows, SplitShares(train=0, validation=0.5, test=0.5), seed=0)
    assert Counter(parts) == {"validation": 30, "test": 30}


def test_one_target_alone_is_refused():
    with pytest.raises(InputError, match="every image has target 0"):
        assign_splits(rows_of(10, 0, patients=False), SHARES, seed=0)


def test_patients_known_of_some_are_refused():
    rows = [{"image_id": "a", "patient_id": "p", "target": 0}, {"image_id": "b", "patient_id": None, "target": 1}]
    with pytest.raises(InputError, match="image b has no patient"):
        split_by(rows)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{layout: rsna, finding: f, split: {train: 0.5, validation: 0.1, test: 0.1}}", "make it 1"),
        ("{layout: rsna, finding: f, subsets: [1, 10]}", "ascending percentages"),
        ("{layout: rsna, finding: f, subsets: [10, 1, 100]}", "ascending percentages"),
        ("{layout: rsna, finding: f, subsets: [0, 100]}", "ascending percentages"),
        ("{layout: folder, finding: f}", "needs `table` and `columns`"),
        ("{layout: siim, finding: f, table: x}", "belong to layout `folder`"),
        ("{layout: mimic_cxr, finding: f}", "layout"),
    ],
)
def test_settings_that_contradict(text, complaint):
    with pytest.raises(InputError) as error:
        LabelImagesSettings.from_text(text)
    assert complaint in str(error.value)


def test_parts_and_subsets_follow_the_units_that_are_given_and_not_the_ids() -> None:
    """Keyed ids sort in another order than those they stand for; the parts must be those of the latter."""
    rows = rows_of(200, 0.3)
    names = {row[column]: f"k{hash_of(row[column])}" for row in rows for column in ("image_id", "patient_id")}
    back = {name: identifier for identifier, name in names.items()}
    renamed = [row | {column: names[row[column]] for column in ("image_id", "patient_id")} for row in rows]
    parts = assign_splits(rows, SHARES, seed=0)
    assert assign_splits(renamed, SHARES, seed=0, unit_of=back.__getitem__) == parts
    assert assign_splits(renamed, SHARES, seed=0) != parts
    subsets = assign_subsets(rows, parts, PERCENTS, seed=0)
    assert assign_subsets(renamed, parts, PERCENTS, seed=0, unit_of=back.__getitem__) == subsets


def hash_of(identifier: str) -> str:
    return hashlib.sha256(identifier.encode()).hexdigest()

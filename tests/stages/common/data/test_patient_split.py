"""The split is a pure function of the patient: right shares, nobody moves, another seed is another split."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.data.patient_split import PatientSplit, split_of
from stages.common.errors import InputError

PATIENTS = [f"p{number:08d}" for number in range(20_000)]


@pytest.mark.parametrize(("validation", "test"), [(0.02, 0.02), (0.15, 0.15), (0.0, 0.5), (0.3, 0.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_shares_are_within_binomial_bounds(validation, test, seed):
    settings = PatientSplit(seed=seed, validation=validation, test=test)
    parts = [split_of(patient, settings) for patient in PATIENTS]
    for part, share in (("validation", validation), ("test", test), ("train", 1 - validation - test)):
        bound = 5 * math.sqrt(len(PATIENTS) * share * (1 - share))  # 5 standard deviations
        assert abs(parts.count(part) - len(PATIENTS) * share) <= bound


@given(st.lists(st.text(min_size=1, max_size=6), max_size=30), st.lists(st.text(min_size=1, max_size=6), max_size=30))
def test_adding_patients_moves_none(first, later):
    settings = PatientSplit(validation=0.3, test=0.3)
    before = {patient: split_of(patient, settings) for patient in first}
    after = {patient: split_of(patient, settings) for patient in sorted(first + later)}
    assert before == {patient: after[patient] for patient in before}


def test_a_larger_test_share_keeps_its_patients():
    small, large = PatientSplit(test=0.1), PatientSplit(test=0.3)
    in_small = {patient for patient in PATIENTS[:2000] if split_of(patient, small) == "test"}
    in_large = {patient for patient in PATIENTS[:2000] if split_of(patient, large) == "test"}
    assert in_small < in_large


def test_another_seed_is_an_independent_split():
    settings = [PatientSplit(seed=seed, validation=0.0, test=0.5) for seed in (0, 1)]
    agree = sum(split_of(patient, settings[0]) == split_of(patient, settings[1]) for patient in PATIENTS)
    assert abs(agree - 10_000) < 5 * math.sqrt(20_000 * 0.25)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"),
        ("validate", "validation"),
        ("valid", "validation"),
        (" TEST ", "test"),
        ("Validation", "validation"),
    ],
)
def test_the_distribution_decides_where_it_has_a_split(name, part):
    assert {split_of(patient, PatientSplit(), name) for patient in PATIENTS[:200]} == {part}


def test_the_distribution_can_be_overruled():
    settings = PatientSplit(use_distributed=False, test=0.5)
    parts = {patient: split_of(patient, settings, "train") for patient in PATIENTS[:200]}
    assert parts == {patient: split_of(patient, settings) for patient in PATIENTS[:200]}
    assert "test" in parts.values()


def test_an_unknown_part_of_the_distribution_is_named():
    with pytest.raises(InputError, match="split 'fold1' of the distribution is unknown; expected one of train"):
        split_of("p1", PatientSplit(), "fold1")


def test_no_patient_left_for_training_is_refused():
    with pytest.raises(InputError, match="must leave patients for training"):
        PatientSplit.from_text("{validation: 0.5, test: 0.5}")

"""A share of the training patients: nested, whole patients, the same for every seed, and refused where too small."""

import math
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_pairs import PlantedImages, data, small

from stages.common.data.paired_reports import Study
from stages.common.data.patient_split import PatientSplit, in_share, split_of
from stages.common.encoders.report_batches import SpecialTokens
from stages.common.errors import InputError
from stages.pretrain.batches import TrainingData
from stages.pretrain.contract import PretrainSettings

PATIENTS = [f"p{number:08d}" for number in range(20_000)]
SHARES = st.floats(0, 1, exclude_min=True)


def held(share: float, patients: list[str] = PATIENTS) -> set[str]:
    return {patient for patient in patients if in_share(patient, share)}


def training_data(of_patients: list[int], **changes: object) -> TrainingData:
    """A study per entry, of the patient with that number."""
    studies = [Study(f"s{n}", f"p{patient}", [f"i{n}"], [[5]], ["Clear."]) for n, patient in enumerate(of_patients)]
    untrained = small(**changes, optimisation={"epochs": 0})
    return TrainingData(untrained, PlantedImages(), studies, SpecialTokens(2, 3))


@settings(deadline=None)
@given(SHARES, SHARES, st.lists(st.text(max_size=6), max_size=30))
def test_a_smaller_share_lies_within_a_larger_one_and_all_have_the_whole(
    one: float, other: float, patients: list[str]
) -> None:
    assert held(min(one, other), patients) <= held(max(one, other), patients)
    assert held(1.0, patients) == set(patients)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=40), SHARES, st.integers(0, 9))
def test_no_patient_is_cut_whatever_the_seed(of_patients: list[int], share: float, seed: int) -> None:
    chosen = training_data(of_patients, data_share=share, seed=seed).studies
    assert chosen == training_data(of_patients, data_share=share).studies
    left = defaultdict(int)
    for study in chosen:
        left[study.patient_id] += 1
    for patient, count in left.items():
        assert count == of_patients.count(int(patient[1:]))
    assert left.keys() == held(share, [f"p{patient}" for patient in of_patients])


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_it_is_as_large_as_said_in_every_part_of_a_split(share: float) -> None:
    """The hash is independent of the one that splits patients, whatever its seed."""
    split = PatientSplit(validation=0.2, test=0.2)
    for part in ("train", "validation", "test"):
        patients = [patient for patient in PATIENTS if split_of(patient, split) == part]
        bound = 5 * math.sqrt(len(patients) * share * (1 - share))
        assert abs(len(held(share, patients)) - len(patients) * share) <= bound


def test_the_default_leaves_digests_as_they_were() -> None:
    assert "data_share" not in PretrainSettings().model_dump()
    assert PretrainSettings(data_share=1).digest() == PretrainSettings().digest()
    assert PretrainSettings(data_share=0.1).digest() != PretrainSettings().digest()


def test_steps_shrink_with_the_share() -> None:
    whole, half = data(small()), data(small(data_share=0.5))
    assert 8 <= len(half.studies) < len(whole.studies) == 26
    assert half.steps == 4 * (len(half.studies) // 8) < whole.steps
    assert {study for step in range(half.steps) for study in half.draw(step).study_ids} <= {
        study.study_id for study in half.studies
    }


def test_a_share_with_less_than_a_batch_is_one_line_with_its_remedy() -> None:
    with pytest.raises(InputError) as caught:
        data(small(data_share=0.1))
    assert str(caught.value) == (
        "data_share 0.1 leaves 3 of 26 training studies, fewer than optimisation.batch_size 8; raise data_share, or "
        "set a smaller batch_size"
    )

"""Thresholds, confusion and net benefit against scikit-learn and closed forms; the AUC of some images alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, recall_score, roc_auc_score, roc_curve

from stages.common.metrics.ranking import auc
from stages.zero_shot_classification.operating_points import choose_points, confusion, drawn_confusions, net_benefits


def cases(seed: int, images: int = 60, levels: int = 12):
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, 2, images)
    targets[:2] = 0, 1
    scores = (generator.integers(0, levels, images) + 3 * targets).astype(np.float32)
    return scores, targets, generator.integers(0, 4, (3, images)).astype(float)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_thresholds_are_those_of_a_search_over_scikit_learns_curve(seed: int) -> None:
    scores, targets, _ = cases(seed)
    false_rate, true_rate, thresholds = roc_curve(targets, scores, drop_intermediate=False)
    found = choose_points(scores, targets)
    assert found["sensitivity_90"].threshold == thresholds[true_rate >= 0.9 - 1e-12].max()
    specific = thresholds[1 - false_rate >= 0.9 - 1e-12].min()  # infinite where no score has it
    assert found["specificity_90"].threshold == (specific if np.isfinite(specific) else np.nextafter(
        scores.max(), np.float32(np.inf)))  # fmt: skip
    youden = found["youden"]
    assert youden.sensitivity + youden.specificity - 1 == pytest.approx((true_rate - false_rate).max())
    for chosen in found.values():
        predicted = scores >= chosen.threshold
        assert chosen.sensitivity == pytest.approx(recall_score(targets, predicted))
        assert chosen.specificity == pytest.approx(recall_score(targets, predicted, pos_label=0))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_confusions_are_scikit_learns_weighted_ones(seed: int) -> None:
    scores, targets, weights = cases(seed)
    some = np.arange(len(scores)) % 3 > 0
    unknown = np.where(np.arange(len(scores)) % 5 == 4, -1, targets)
    asked = [(np.ones(len(scores), bool), 5.0), (some, 8.0)]
    found = drawn_confusions([confusion(scores, unknown, *each) for each in asked], weights)
    for (members, threshold), each in zip([(unknown >= 0, 5.0), (some & (unknown >= 0), 8.0)], found, strict=True):
        for row, drawn in enumerate(weights):
            truth = confusion_matrix(
                targets[members], scores[members] >= threshold, sample_weight=drawn[members], labels=[0, 1]
            )
            ours = [[each.true_negatives[row], each.false_positives[row]],
                    [each.false_negatives[row], each.true_positives[row]]]  # fmt: skip
            np.testing.assert_array_equal(ours, truth)
            if truth[:, 1].sum():
                assert each.rates()["ppv"][row] == pytest.approx(truth[1, 1] / truth[:, 1].sum())
            else:
                assert np.isnan(each.rates()["ppv"][row])


def test_net_benefit_is_its_formula_and_treat_all_is_worth_nothing_at_the_prevalence() -> None:
    generator = np.random.default_rng(0)
    targets = (np.arange(200) < 50).astype(int)
    probabilities = np.clip(targets * 0.3 + generator.random(200) * 0.7, 0, 1)
    model, treat_all = net_benefits(probabilities, targets, np.array([0.1, 0.25, 0.6]), np.ones((1, 200)))
    assert treat_all[0, 1] == pytest.approx(0, abs=1e-15)  # odds of the prevalence, 1/4
    assert treat_all[0, 0] == pytest.approx(0.25 - 0.75 / 9)
    acted = probabilities >= 0.6
    expected = (acted & (targets == 1)).mean() - (acted & (targets == 0)).mean() * 0.6 / 0.4
    assert model[0, 2] == pytest.approx(expected)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_images_of_another_target_do_not_count_in_the_auc(seed: int) -> None:
    scores, targets, weights = cases(seed)
    weights[:, :2] += 1
    some = np.random.default_rng(seed).random(len(scores)) < 0.5
    some[:2] = True
    ours = auc(scores, np.where(some, targets, -1), weights)
    truth = [roc_auc_score(targets[some], scores[some], sample_weight=drawn[some]) for drawn in weights]
    np.testing.assert_allclose(ours, truth, atol=1e-12)

"""Weighted metrics against scikit-learn, ties included; intervals against known coverage."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from stages.common.metrics.ranking import (
    accuracy,
    auc,
    average_precision,
    best_f1_threshold,
    draw_weights,
    estimate,
    f1,
)


def cases(seed: int, images: int = 40, levels: int = 6):
    """Scores with many ties, both classes present, integer weights with zeros but both classes kept."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, levels, images).astype(float)
    targets = generator.integers(0, 2, images)
    targets[:2] = 0, 1
    weights = generator.integers(0, 4, (3, images)).astype(float)
    weights[:, :2] = 1
    return scores, targets, weights


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_weighted_metrics_equal_scikit_learn(seed: int) -> None:
    scores, targets, weights = cases(seed)
    pairs = [
        (auc(scores, targets, weights), partial(roc_auc_score, targets, scores)),
        (average_precision(scores, targets, weights), partial(average_precision_score, targets, scores)),
        (f1(scores, targets, weights, 3.0), partial(f1_score, targets, scores >= 3)),
        (accuracy(scores, targets, weights, 3.0), partial(accuracy_score, targets, scores >= 3)),
    ]
    for ours, truth in pairs:
        for row, value in enumerate(ours):
            assert value == pytest.approx(truth(sample_weight=weights[row]), abs=1e-12)


def test_a_draw_without_both_classes_has_no_auc() -> None:
    scores, targets = np.array([0.1, 0.2, 0.3]), np.array([0, 1, 1])
    assert np.isnan(auc(scores, targets, np.array([[0.0, 1.0, 2.0]]))[0])


def test_reversed_scores_mirror_the_auc() -> None:
    scores, targets, weights = cases(1)
    np.testing.assert_allclose(auc(-scores, targets, weights), 1 - auc(scores, targets, weights))


def test_threshold_is_the_best_of_all() -> None:
    scores, targets, _ = cases(2)
    one = np.ones((1, len(scores)))
    best = best_f1_threshold(scores, targets)
    assert f1(scores, targets, one, best)[0] == max(f1_score(targets, scores >= level) for level in np.unique(scores))


def test_whole_groups_are_drawn_together() -> None:
    groups = np.array(["b", "a", "b", "c", "a", "a"])
    weights = draw_weights(groups, 500, seed=0)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()  # three groups drawn from three
    assert weights.mean() == pytest.approx(1, abs=0.05)
    np.testing.assert_array_equal(weights, draw_weights(groups, 500, seed=0))


def test_interval_of_a_mean_has_its_textbook_width() -> None:
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, 2000)
    scores = (targets ^ (generator.random(2000) < 0.2)).astype(float)  # accuracy .8
    result = estimate(partial(accuracy, scores, targets, threshold=1.0), draw_weights(np.arange(2000), 2000, seed=1))
    half = 1.96 * np.sqrt(result.value * (1 - result.value) / 2000)
    assert result.high - result.value == pytest.approx(half, rel=0.15)
    assert result.value - result.low == pytest.approx(half, rel=0.15)

"""Figures of several classes equal scikit-learn's; precision@k is right by hand, and ties are broken in expectation."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from stages.common.metrics.classes import Classified
from stages.common.metrics.retrieval import precision_at

ONCE = np.ones((1, 60))


@pytest.fixture
def found() -> Classified:
    drawn = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 20)
    return Classified(truth, drawn.normal(size=(60, 3)) + 0.8 * np.eye(3)[truth])


def test_figures_are_those_of_scikit_learn_under_any_weighting(found: Classified) -> None:
    weights = np.random.default_rng(1).integers(0, 4, size=(5, 60)).astype(float)
    metrics = found.metrics([5])
    for number, own in enumerate(weights):
        given_ = {"sample_weight": own}
        accuracy = accuracy_score(found.truth, found.predicted, **given_)
        assert metrics["accuracy"](weights)[number] == pytest.approx(accuracy)
        macro = f1_score(found.truth, found.predicted, average="macro", **given_)
        assert metrics["macro_f1"](weights)[number] == pytest.approx(macro)
        for score, name in ((recall_score, "recall"), (precision_score, "precision"), (f1_score, "f1")):
            by_class = score(found.truth, found.predicted, average=None, **given_)
            for label in range(3):
                assert found.of_class(label, [])[name](weights)[number] == pytest.approx(by_class[label]), name
    np.testing.assert_array_equal(found.confusion(), confusion_matrix(found.truth, found.predicted))


def test_a_class_without_images_in_a_draw_is_left_out_of_its_means(found: Classified) -> None:
    weights = (found.truth != 2).astype(float)[None]
    assert np.isnan(found.of_class(2, [])["recall"](weights)[0])
    own = [found.of_class(number, [])["f1"](weights)[0] for number in (0, 1)]
    assert found.metrics([])["macro_f1"](weights)[0] == pytest.approx(np.mean(own))


def test_precision_at_k_by_hand() -> None:
    scores, hit = np.array([0.9, 0.1, 0.8, 0.5]), np.array([True, True, False, True])
    once = np.ones((1, 4))
    assert [precision_at(k, scores, hit)(once)[0] for k in (1, 2, 3, 4)] == [1, 1 / 2, 2 / 3, 3 / 4]
    twice = np.array([[2.0, 0, 1, 1], [1, 0, 0, 0]])  # the best one drawn twice; a draw of one candidate
    np.testing.assert_allclose(precision_at(3, scores, hit)(twice), [2 / 3, np.nan])


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6), st.integers(1, 6))
def test_ties_are_the_mean_over_orders(candidates: list[tuple[int, bool]], k: int) -> None:
    scores, hit = (np.array(column) for column in zip(*candidates, strict=True))
    found = precision_at(k, scores.astype(float), hit)(np.ones((1, len(hit))))[0]
    if k > len(hit):
        assert np.isnan(found)
        return
    orders = [order for order in permutations(range(len(hit))) if all(np.diff(scores[list(order)]) <= 0)]
    assert found == pytest.approx(np.mean([hit[list(order[:k])].mean() for order in orders]))

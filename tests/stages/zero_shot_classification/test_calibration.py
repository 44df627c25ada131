"""Fits are those of logistic regression, curves those of scikit-learn, and exact probabilities have no error."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from stages.zero_shot_classification.calibration import BINS, calibrate, fit, reliability

ONCE = np.ones((3, 1))


def drawn(count: int = 400, slope: float = 30.0, bias: float = -2.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores as small as differences of cosines, and targets that follow them by a logistic law."""
    random = np.random.default_rng(0)
    scores = random.normal(scale=0.05, size=count)
    return scores, (random.random(count) < 1 / (1 + np.exp(-slope * scores - bias))).astype(np.int64)


@pytest.mark.parametrize("with_bias", [True, False])
def test_the_fit_is_logistic_regression_on_smoothed_targets(with_bias: bool) -> None:
    scores, targets = drawn()
    positives = targets.sum()
    high, low = (positives + 1) / (positives + 2), 1 / (len(targets) - positives + 2)
    wanted = np.where(targets == 1, high, low)
    twice = np.concatenate([scores, scores])[:, None] * 20  # scaled, so that the solver's penalty is nothing
    model = LogisticRegression(C=1e10, fit_intercept=with_bias, tol=1e-10, max_iter=10_000)
    model.fit(twice, np.repeat([1, 0], len(scores)), sample_weight=np.concatenate([wanted, 1 - wanted]))
    slope, bias = fit(scores, targets, with_bias)
    assert slope == pytest.approx(20 * model.coef_[0, 0], rel=1e-3)
    assert bias == pytest.approx(float(model.intercept_[0]) if with_bias else 0, abs=1e-3)


def test_a_bias_says_how_rare_a_finding_is() -> None:
    scores, targets = drawn()
    weights = ONCE * np.ones(len(scores))
    errors = {
        method: calibrate(method, 0.05, (scores, targets), (scores, targets), weights).after.calibration_error
        for method in ("temperature", "platt")
    }
    assert errors["platt"] < 0.05 < 0.15 < errors["temperature"]


def test_scores_that_separate_validation_have_a_finite_fit() -> None:
    targets = np.repeat([0, 1], 10)
    slope, bias = fit(targets * 0.1, targets, with_bias=True)
    assert 1 / (1 + np.exp(-bias)) == pytest.approx(1 / 12)  # Platt's targets, reached exactly
    assert 1 / (1 + np.exp(-slope * 0.1 - bias)) == pytest.approx(11 / 12)


def test_equal_scores_say_nothing() -> None:
    slope, bias = fit(np.zeros(30), np.repeat([0, 1], [20, 10]), with_bias=True)
    assert slope == pytest.approx(0)
    assert 1 / (1 + np.exp(-bias)) == pytest.approx((20 * 1 / 22 + 10 * 11 / 12) / 30)


def test_the_curve_and_the_score_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    probabilities, targets = np.append(random.random(500) ** 2, [0.0, 1.0, 1 / 15]), random.integers(0, 2, 503)
    found = reliability(probabilities, targets, ONCE * np.ones(503))
    shares, means = calibration_curve(targets, probabilities, n_bins=BINS, strategy="uniform")
    filled = [each for each in found.bins if each.images]
    np.testing.assert_allclose([each.positives for each in filled], shares)
    np.testing.assert_allclose([each.probability for each in filled], means)
    counts = np.array([each.images for each in filled])
    error = (counts * np.abs(shares - means)).sum() / counts.sum()
    assert found.calibration_error == pytest.approx(error)
    assert found.brier.value == pytest.approx(brier_score_loss(targets, probabilities))
    assert (len(found.bins), counts.sum()) == (BINS, 503)


def test_exact_probabilities_have_no_error() -> None:
    """Ten images at each of .1, .2 .. .9, of which as many are positive as they say."""
    tenths = np.arange(1, 10)
    probabilities = np.repeat(tenths / 10, 10)
    targets = np.concatenate([np.repeat([1, 0], [number, 10 - number]) for number in tenths])
    found = reliability(probabilities, targets, ONCE * np.ones(90))
    assert found.calibration_error == pytest.approx(0, abs=1e-12)
    assert found.brier.value == pytest.approx(np.mean(probabilities * (1 - probabilities)))
    off = reliability(np.full(90, 0.9), targets, ONCE * np.ones(90))
    assert off.calibration_error == pytest.approx(0.4)

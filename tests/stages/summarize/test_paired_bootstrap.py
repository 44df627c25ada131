"""Paired comparisons against closed forms, hand-made p values and simulated truth."""

from functools import partial

import numpy as np
import pytest

from stages.common.metrics.ranking import auc, draw_weights
from stages.common.records import FEWEST_PATIENTS
from stages.summarize.tables.comparisons import (
    Drawn,
    compare_all,
    decided_best,
    drawn,
    holm,
    two_sided,
)


def mean_of(values: np.ndarray):
    return lambda weights: weights @ values / weights.sum(axis=1)


def test_holm_by_hand() -> None:
    """Of m = 4: .01 x 4, .02 x 3, .03 x 2 (not below the one before), .9 x 1."""
    assert holm([0.02, 0.9, 0.01, 0.03]) == pytest.approx([0.06, 0.9, 0.04, 0.06])
    assert holm([0.4, 0.5]) == pytest.approx([0.8, 0.8])
    assert holm([]) == []


def test_p_counts_draws_on_both_sides_and_is_never_zero() -> None:
    assert two_sided(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 * 1 / 4)
    assert two_sided(np.array([1.0, -2.0, 3.0])) == 1
    assert two_sided(np.full(999, 0.1)) == pytest.approx(2 / 1000)
    assert two_sided(np.zeros(999)) == 1  # equal variants
    assert two_sided(np.array([np.nan, 1.0, 2.0])) == pytest.approx(2 / 3)


def test_interval_of_a_difference_of_means_has_its_textbook_width() -> None:
    """Paired: the part that both share must not widen the interval."""
    generator = np.random.default_rng(0)
    shared, own = generator.normal(size=2000) * 10, generator.normal(size=2000)
    weights = draw_weights(np.arange(2000), 1500, seed=0)
    variants = {"a": drawn(mean_of(shared + own + 0.2), weights), "b": drawn(mean_of(shared), weights)}
    (found,) = compare_all(variants, 2000)
    assert found.difference.value == pytest.approx(np.mean(own) + 0.2)
    assert (found.difference.high - found.difference.low) / 2 == pytest.approx(1.96 * own.std() / 2000**0.5, rel=0.1)
    assert found.decided


def test_draws_resample_patients_not_images() -> None:
    """Ten copies of every image are no more evidence than one."""
    generator = np.random.default_rng(1)
    values = generator.normal(size=50)
    once = drawn(mean_of(values), draw_weights(np.arange(50), 800, seed=3))
    copies = drawn(mean_of(np.repeat(values, 10)), draw_weights(np.repeat(np.arange(50), 10), 800, seed=3))
    np.testing.assert_allclose(once.draws, copies.draws)


def test_equal_variants_are_seldom_told_apart() -> None:
    """150 pairs of scorers of the same quality: about 5 in 100 have p < .05 (binomial, 99 %: at most 15)."""
    generator = np.random.default_rng(2)
    targets = np.repeat([0, 1], 60)
    weights = draw_weights(np.arange(120), 200, seed=0)
    small = 0
    for _ in range(150):
        pair = {name: drawn(partial(auc, targets + generator.normal(size=120), targets), weights) for name in "ab"}
        small += compare_all(pair, 120)[0].p < 0.05
    assert 0 < small <= 15


def test_best_is_bold_only_where_it_beats_every_other_one() -> None:
    generator = np.random.default_rng(3)
    noise = generator.normal(size=(3, 999)) * 0.01
    clear = {"a": Drawn(0.9, 0.9 + noise[0]), "b": Drawn(0.8, 0.8 + noise[1]), "c": Drawn(0.7, 0.7 + noise[2])}
    assert decided_best(clear, compare_all(clear, FEWEST_PATIENTS)) == "a"
    tie = clear | {"b": Drawn(0.899, 0.899 + noise[1])}
    assert decided_best(tie, compare_all(tie, FEWEST_PATIENTS)) is None
    few = compare_all(clear, FEWEST_PATIENTS - 1)
    assert [each.p for each in few] == [each.p for each in compare_all(clear, FEWEST_PATIENTS)]
    assert decided_best(clear, few) is None
    alone = {"a": clear["a"]}
    assert compare_all(alone, FEWEST_PATIENTS) == []
    assert decided_best(alone, []) is None

"""Draws over seeds and patients together: closed forms, a loop written apart, and how often equal variants differ."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from stages.common.metrics.ranking import auc, draw_weights, mean_of
from stages.common.records import Estimate
from stages.summarize.tables.comparisons import Comparisons, two_sided
from stages.summarize.tables.image_values import ImageValues, Repeated
from stages.summarize.tables.seeds import seed_weights, seeds_cell, too_few_seeds

SEEDS = (0, 1, 2)


def of_values(values: np.ndarray, seeds: tuple[int, ...] = SEEDS, trained: bool = True) -> Repeated:
    """A variant whose replicates reach the means of the rows of `values`, [seeds, images]."""
    names = [f"i{place}" for place in range(values.shape[1])]
    own = (ImageValues(Path("x"), names, np.array(names), {"mean": mean_of(each)}) for each in values)
    return Repeated(tuple(own), seeds, trained)


def interval(row: Repeated, draws: int = 20_000) -> Estimate:
    found = Comparisons(draws, 0).mean_over_seeds(row, "mean")
    assert found is not None
    return found


def flat(*means: float) -> np.ndarray:
    """Images that all have one value: nothing varies between patients."""
    return np.repeat(np.array(means)[:, None], 6, axis=1)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=6, unique=True), st.integers(0, 9))
def test_weights_of_a_draw_sum_to_1_and_are_those_of_an_equal_list(seeds: list[int], seed: int) -> None:
    weights = seed_weights(seeds, 50, seed)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_array_equal(weights, seed_weights(tuple(seeds), 50, seed))
    if len(seeds) > 1:
        assert not np.allclose(weights, seed_weights([*seeds[1:], seeds[0] + 1], 50, seed))


def test_without_any_effect_of_patients_the_interval_is_that_of_a_t_test_of_the_seeds() -> None:
    means = np.array([0.70, 0.76, 0.73])
    found = interval(of_values(flat(*means)))
    low, high = stats.t.interval(0.95, 2, means.mean(), stats.sem(means))
    assert found.value == pytest.approx(means.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.003)


def test_seeds_that_agree_have_the_interval_of_one() -> None:
    values = np.random.default_rng(0).normal(size=40)
    found, draws = interval(of_values(np.stack([values] * 3)), 2000), []
    for weights in draw_weights(np.array([f"i{place}" for place in range(40)]), 2000, 0):
        draws.append(np.average(values, weights=weights))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])))


def test_draws_are_those_of_a_loop_over_resampled_patients_and_seeds() -> None:
    """AUC of three seeds of two variants by scikit-learn, on the images of each draw as a list."""
    generator, draws = np.random.default_rng(1), 60
    targets, patients = np.arange(40) % 2, np.array([f"p{place // 2}" for place in range(40)])
    scores = {name: generator.normal(size=(3, 40)) + gain * targets for name, gain in (("a", 1.5), ("b", 0.5))}
    names = [f"i{place}" for place in range(40)]
    rows = {
        name: Repeated(tuple(ImageValues(Path(name), names, patients, {"auc": lambda weights, own=own:
                             auc(own, targets, weights)}) for own in each), SEEDS, True)
        for name, each in scores.items()
    }  # fmt: skip
    comparisons = Comparisons(draws, 7)
    comparisons.best("t", "auc", rows, "auc")
    found = {name: [] for name in scores}
    weights_of_seeds = seed_weights(SEEDS, draws, 7)
    for draw, weights in enumerate(draw_weights(patients, draws, 7)):
        chosen = np.repeat(np.arange(40), weights.astype(int))
        for name, each in scores.items():
            aucs = [roc_auc_score(targets[chosen], own[chosen]) for own in each]
            found[name].append(sum(weight * value for weight, value in zip(weights_of_seeds[draw], aucs, strict=True)))
    for name in scores:
        own = comparisons.over_seeds("t", "auc", name)
        assert own is not None
        assert (own.low, own.high) == pytest.approx(tuple(np.percentile(found[name], [2.5, 97.5])))
        assert own.value == pytest.approx(np.mean([roc_auc_score(targets, each) for each in scores[name]]))
    difference = np.array(found["a"]) - np.array(found["b"])
    compared = comparisons.against("t", "auc", "a", "b")
    assert (compared.difference.low, compared.difference.high) == pytest.approx(
        tuple(np.percentile(difference, [2.5, 97.5]))
    )


def test_equal_seeds_are_paired_and_other_seeds_are_not() -> None:
    """p of a paired t test where the lists are equal; of other seeds the spreads of both add up."""
    first, second = np.array([0.70, 0.80, 0.90]), np.array([0.68, 0.79, 0.86])
    paired, apart = Comparisons(40_000, 0), Comparisons(40_000, 0)
    paired.best("t", "m", {"a": of_values(flat(*first)), "b": of_values(flat(*second))}, "mean")
    apart.best("t", "m", {"a": of_values(flat(*first)), "b": of_values(flat(*second), (3, 4, 5))}, "mean")
    found, wide = paired.against("t", "m", "a", "b"), apart.against("t", "m", "a", "b")
    assert found.p == pytest.approx(stats.ttest_rel(first, second).pvalue, abs=0.01)
    assert wide.difference.high - wide.difference.low > 4 * (found.difference.high - found.difference.low)


def test_equal_variants_are_seldom_told_apart_by_three_seeds() -> None:
    """Of 600 pairs that differ by their seeds alone about 5 in 100 have p < .05; drawn with replacement: 25."""
    generator, weights = np.random.default_rng(4), seed_weights(SEEDS, 1000, 0)
    drawn = generator.integers(3, size=(1000, 3))
    small, with_replacement = 0, 0
    for _ in range(600):
        difference = generator.normal(size=3)
        small += two_sided(weights @ difference) < 0.05
        with_replacement += two_sided(difference[drawn].mean(axis=1)) < 0.05
    assert 15 <= small <= 48  # binomial, 600 at .05: 30, and three standard deviations
    assert with_replacement > 120


@pytest.mark.parametrize(
    ("counts", "few"),
    [([1, 1], True), ([3, 2], True), ([3, 3], False), ([5, 3, 4], False), ([1], False), ([2], False), ([], False)],
)
def test_bold_needs_three_trainings_of_every_variant_that_is_compared_with_another(counts, few) -> None:
    assert too_few_seeds(counts) == few


def test_a_clear_winner_is_bold_with_three_seeds_and_not_with_two() -> None:
    noise = np.random.default_rng(2).normal(size=(2, 3, 50)) * 0.01
    for seeds, best in (((0, 1, 2), "a"), ((0, 1), None)):
        count = len(seeds)
        rows = {"a": of_values(0.9 + noise[0][:count], seeds), "b": of_values(0.5 + noise[1][:count], seeds)}
        assert Comparisons(400, 0).best("t", "m", rows, "mean") == best
    untrained = of_values(0.5 + noise[1][:1], (None,), trained=False)  # a rival needs no other seed
    assert Comparisons(400, 0).best("t", "m", {"a": of_values(0.9 + noise[0]), "b": untrained}, "mean") == "a"


def test_a_cell_of_several_seeds_has_their_spread_and_an_interval_only_where_it_is_known() -> None:
    figures = [Estimate(value=each, low=each - 0.1, high=each + 0.1) for each in (0.6, 0.7, 0.8)]
    cell = seeds_cell(figures)
    assert (cell.value, cell.spread, cell.low, cell.high) == (pytest.approx(0.7), pytest.approx(0.1), None, None)
    both = Estimate(value=0.7, low=0.4, high=0.9)
    assert (seeds_cell(figures, both).low, seeds_cell(figures, both).high) == (0.4, 0.9)
    one = seeds_cell(figures[:1])
    assert (one.value, one.low, one.high, one.spread) == (0.6, 0.5, pytest.approx(0.7), None)

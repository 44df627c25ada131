"""Ranks and recall against every order of ties, closed forms and hand-made tables."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.metrics.retrieval import FirstHits, weighted_median
from stages.retrieval.evaluation import first_hits, guessed, guessed_median_rank

IDENTITY = np.eye(6, dtype=np.float32)
NUMBERS = np.arange(6)


@given(
    scores=st.lists(st.integers(0, 2), min_size=1, max_size=6),
    hit=st.lists(st.booleans(), min_size=6, max_size=6),
    k=st.integers(1, 7),
)
@settings(max_examples=60, deadline=None)
def test_ties_count_as_the_mean_over_all_their_orders(scores: list[int], hit: list[bool], k: int) -> None:
    hit = [True, *hit[1:]][: len(scores)]
    ranks = []
    for order in permutations(range(len(scores))):
        ranked = sorted(order, key=lambda place: -scores[place])  # stable: `order` decides among equals
        ranks.append(1 + next(rank for rank, place in enumerate(ranked) if hit[place]))
    groups = np.array([0 if each else 1 for each in hit])
    found = first_hits(np.ones((1, 1)), np.array(scores, dtype=float)[:, None], np.array([0]), groups, 8)
    assert found.expected_ranks()[0] == pytest.approx(np.mean(ranks))
    assert found.recall(k)[0] == pytest.approx(np.mean([rank <= k for rank in ranks]))


def test_own_partners_come_first_in_any_order_of_candidates() -> None:
    order = np.random.default_rng(0).permutation(6)
    found = first_hits(IDENTITY, IDENTITY[order], NUMBERS, NUMBERS[order], 4)
    assert found.expected_ranks().tolist() == [1] * 6
    assert found.recall(1).tolist() == [1] * 6


def test_a_hand_made_table() -> None:
    """Scores of two queries; the hit is the first candidate. The second query ties it with two others."""
    scores = np.array([[0.5, 0.9, 0.7, 0.1], [0.5, 0.9, 0.5, 0.5]])
    found = first_hits(np.eye(2), scores.T, np.array([0, 0]), np.array([0, 1, 2, 3]), 1)
    assert found.expected_ranks().tolist() == [3, 3]
    assert found.recall(1).tolist() == [0, 0]
    np.testing.assert_allclose(found.recall(2), [0, 1 / 3])
    np.testing.assert_allclose(found.recall(3), [1, 2 / 3])
    np.testing.assert_allclose(found.recall(4), [1, 1])


def test_the_nearest_of_several_hits_counts() -> None:
    """Queries 0 and 1 have the same text: each finds the other's candidate."""
    swapped = IDENTITY[[1, 0, 2, 3, 4, 5]]
    texts = np.array([0, 0, 2, 3, 4, 5])
    assert first_hits(IDENTITY, swapped, texts, texts, 8).recall(1).tolist() == [1] * 6
    assert first_hits(IDENTITY, swapped, NUMBERS, NUMBERS, 8).recall(1).tolist() == [0, 0, 1, 1, 1, 1]


def test_chunks_do_not_matter() -> None:
    random = np.random.default_rng(1)
    queries, candidates = random.integers(0, 2, (30, 4)).astype(float), random.integers(0, 2, (20, 4)).astype(float)
    groups = random.integers(0, 5, 30), np.concatenate([np.arange(5), random.integers(0, 5, 15)])
    one, all_at_once = (first_hits(queries, candidates, *groups, at_once) for at_once in (7, 100))
    for name, counts in vars(one).items():
        np.testing.assert_array_equal(counts, vars(all_at_once)[name])


def test_equal_scores_are_the_chance_level() -> None:
    queries, candidates = np.array([0, 1, 2, 2]), np.array([2, 2, 0, 1, 3, 2])
    found = first_hits(np.ones((4, 1)), np.ones((6, 1)), queries, candidates, 8)
    for name, counts in vars(guessed(queries, candidates)).items():
        np.testing.assert_array_equal(counts, vars(found)[name])


def test_chance_in_closed_form() -> None:
    """One hit among N: k / N, and the middle rank (N + 1) / 2. Two of N: 1 - (N - k)(N - k - 1) / N (N - 1)."""
    single = guessed(np.arange(50), np.arange(50))
    np.testing.assert_allclose(single.recall(10), 0.2)
    np.testing.assert_allclose(single.expected_ranks(), 25.5)
    assert guessed_median_rank(single) == 25.5
    double = FirstHits(np.array([0]), np.array([48]), np.array([2]))
    np.testing.assert_allclose(double.recall(5), 1 - 45 * 44 / (50 * 49))
    np.testing.assert_allclose(double.expected_ranks(), 17)


def test_the_median_rank_of_guesses_is_that_of_all_orders() -> None:
    """Two queries among five candidates: one has a single hit, one has three."""
    guess = guessed(np.array([0, 1]), np.array([0, 1, 1, 1, 2]))
    ranks = [
        1 + min(order.index(place) for place in hits) for order in permutations(range(5)) for hits in ([0], [1, 2, 3])
    ]
    assert guessed_median_rank(guess) == np.median(ranks)
    assert guessed_median_rank(guessed(np.array([0]), np.array([0]))) == 1


@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_weighted_median_is_that_of_the_repeated_values(seed: int) -> None:
    random = np.random.default_rng(seed)
    values, weights = random.integers(0, 9, 7) / 2, random.integers(0, 4, (3, 7))
    weights[:, 0] += 1
    truth = [np.median(np.repeat(values, row)) for row in weights]
    np.testing.assert_allclose(weighted_median(values, weights.astype(float)), truth)

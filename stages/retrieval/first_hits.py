"""Rank all candidates for every query, and what guessing would give."""

import numpy as np
from jaxtyping import Float, Int

from stages.common.hit_ranks import FirstHits

_ROUNDING = 1e-9


def first_hits(
    queries: Float[np.ndarray, "queries width"],
    candidates: Float[np.ndarray, "candidates width"],
    query_groups: Int[np.ndarray, "queries"],
    candidate_groups: Int[np.ndarray, "candidates"],
    at_once: int,
) -> FirstHits:
    """Rank all candidates by inner product, `at_once` queries at a time; a candidate of the query's group is a hit.

    Every query needs a candidate of its group.
    """
    parts = []
    for first in range(0, len(queries), at_once):
        rows = slice(first, first + at_once)
        scores = queries[rows] @ candidates.T
        hit = query_groups[rows, None] == candidate_groups
        best = np.where(hit, scores, -np.inf).max(axis=1, keepdims=True)
        level = scores == best
        parts.append([(scores > best).sum(axis=1), (level & ~hit).sum(axis=1), (level & hit).sum(axis=1)])
    return FirstHits(*(np.concatenate(counts) for counts in zip(*parts, strict=True)))


def guessed(query_groups: Int[np.ndarray, "queries"], candidate_groups: Int[np.ndarray, "candidates"]) -> FirstHits:
    """The same with all scores equal: its recall is the chance level."""
    sizes = np.bincount(candidate_groups, minlength=int(query_groups.max()) + 1)[query_groups]
    return FirstHits(np.zeros_like(sizes), len(candidate_groups) - sizes, sizes)


def guessed_median_rank(guess: FirstHits) -> float:
    """Median, over queries and orders, of the rank of the first hit when candidates come in random order.

    Not the median of `expected_ranks`: with several hits the rank is skewed, and its mean lies above its median.
    """
    missed = np.ones(len(guess.tied))  # probability that no hit is among the first `rank`
    rank = lower = 0
    while missed.mean() > 0.5 - _ROUNDING:
        missed *= np.maximum(guess.tied - rank, 0) / (guess.tied + guess.hits - rank)
        rank += 1
        if not lower and missed.mean() < 0.5 + _ROUNDING:
            lower = rank
    return (lower + rank) / 2  # the two middle ranks, where there are two

"""Where the first hit of a query stands among all candidates, tied scores in every order alike.

Of the candidates that score as high as the best hit, r are hits and t are not; a others score higher. If ties are
broken at random, the first of the r stands on average at a + 1 + t / (r + 1), for r = 1 the middle of the tie, and one
of them is among the first k with probability 1 - C(t, m) / C(t + r, m), m = k - a. So the recall of an encoder whose
scores are all equal is exactly that of guessing.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_ROUNDING = 1e-9
_Counts = Int[np.ndarray, "queries"]


@dataclass(frozen=True)
class FirstHits:
    """One entry a query: candidates above its best hit, and those as high as it that are none (t) and are (r >= 1)."""

    above: _Counts
    tied: _Counts
    hits: _Counts

    def expected_ranks(self) -> Float[np.ndarray, "queries"]:
        """1 is the top."""
        return self.above + 1 + self.tied / (self.hits + 1)

    def recall(self, k: int) -> Float[np.ndarray, "queries"]:
        """Probability that a hit is among the first k."""
        missed = np.ones(len(self.above))
        for place in range(k):  # the place-th candidate drawn from the tie, where the first k reach so far
            left = np.maximum(self.tied + self.hits - place, 1)
            reached = self.above + place < k
            missed *= np.where(reached, np.maximum(self.tied - place, 0) / left, 1)
        return 1 - missed


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


def weighted_median(
    values: Float[np.ndarray, "queries"], weights: Float[np.ndarray, "draws queries"]
) -> Float[np.ndarray, "draws"]:
    """Median of values that occur `weight` times each; the mean of the two middle ones of an even number."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[:, order], axis=1)
    half = reached[:, -1:] / 2
    lower, upper = (reached >= half).argmax(axis=1), (reached > half).argmax(axis=1)
    return (values[order][lower] + values[order][upper]) / 2

"""Rank of a query's first hit among all candidates, and the retrieval figures that follow from it.

Of the candidates that score as high as the best hit, r are hits and t are not; a others score higher. If ties are
broken at random, the first of the r stands on average at a + 1 + t / (r + 1), for r = 1 the middle of the tie. One of
them is among the first k with probability 1 - C(t, m) / C(t + r, m), m = k - a. So the recall of an encoder whose
scores are all equal is exactly that of guessing. The three numbers a, t, r of every query suffice.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from .ranking import Metric, groups_of_ties, mean_of

_Counts = Int[np.ndarray, "queries"]


@dataclass(frozen=True)
class FirstHits:
    """Counts per query: candidates above its best hit (a), and as high as it: non-hits (t) and hits (r >= 1)."""

    above: _Counts
    tied: _Counts
    hits: _Counts

    def expected_ranks(self) -> Float[np.ndarray, "queries"]:
        """Return the expected rank of each query's first hit; 1 is the top."""
        return self.above + 1 + self.tied / (self.hits + 1)

    def recall(self, k: int) -> Float[np.ndarray, "queries"]:
        """Return the probability that a hit is among the first k, for each query."""
        missed = np.ones(len(self.above))
        for place in range(k):  # the place-th candidate drawn from the tie, if the first k reach that far
            left = np.maximum(self.tied + self.hits - place, 1)
            reached = self.above + place < k
            missed *= np.where(reached, np.maximum(self.tied - place, 0) / left, 1)
        return 1 - missed


def retrieval_metrics(found: FirstHits, recall_at: Iterable[int]) -> dict[str, Metric]:
    """Return one direction's figures as functions of its queries' weighting: recall_at_<k> and median_rank."""
    recalls: dict[str, Metric] = {f"recall_at_{k}": mean_of(found.recall(k)) for k in recall_at}
    return recalls | {"median_rank": partial(weighted_median, found.expected_ranks())}


def precision_at(k: int, scores: Float[np.ndarray, "candidates"], hit: Bool[np.ndarray, "candidates"]) -> Metric:
    """Return the share of hits among a query's first k candidates, as a function of the candidates' weighting.

    Of candidates that score equally high at the edge, it is the mean over their orders. NaN for a draw of fewer than k
    candidates.
    """
    order, starts = groups_of_ties(-scores)

    def precision(weights: Float[np.ndarray, "draws candidates"]) -> Float[np.ndarray, "draws"]:
        drawn = weights[:, order]
        size = np.add.reduceat(drawn, starts, axis=1)
        found = np.add.reduceat(drawn * hit[order], starts, axis=1)
        reached = np.cumsum(size, axis=1)
        among = np.clip(k - reached + size, 0, size)  # candidates of each tie that are among the first k
        share = np.divide(found, size, out=np.zeros_like(size), where=size > 0)
        return np.where(reached[:, -1] >= k, (among * share).sum(axis=1) / k, np.nan)

    return precision


def weighted_median(
    values: Float[np.ndarray, "queries"], weights: Float[np.ndarray, "draws queries"]
) -> Float[np.ndarray, "draws"]:
    """Return the median of values that occur `weight` times each; the mean of the two middle ones of an even number."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[:, order], axis=1)
    half = reached[:, -1:] / 2
    lower, upper = (reached >= half).argmax(axis=1), (reached > half).argmax(axis=1)
    return (values[order][lower] + values[order][upper]) / 2

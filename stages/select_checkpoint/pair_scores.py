"""What each validation study contributes to a score, both directions: images find reports, reports find images."""

import numpy as np
from jaxtyping import Bool, Float

_GOLDEN = (5**0.5 - 1) / 2
_LARGEST_SCALE, _LOOKS = 200.0, 25  # 1 / tau lies below it; 25 looks leave 200 * .618^25 = .001 of it open


def reciprocal_ranks(
    similarity: Float[np.ndarray, "queries keys"], relevant: Bool[np.ndarray, "queries keys"]
) -> Float[np.ndarray, "queries"]:
    """1 / rank of the best relevant key of every query; ties count against it (as if ranked last among equals).

    Every query needs a relevant key.
    """
    best = np.where(relevant, similarity, -np.inf).max(axis=1, keepdims=True)
    rank = 1 + ((similarity >= best) & ~relevant).sum(axis=1)
    return 1 / rank


def rank_scores(
    similarity: Float[np.ndarray, "studies studies"], relevant: Bool[np.ndarray, "studies studies"]
) -> dict[str, Float[np.ndarray, "studies"]]:
    """Reciprocal rank and hits among the first k, of each study, the mean of both directions.

    `relevant` marks the own report and every report of identical text.
    """
    ranks = [reciprocal_ranks(similarity, relevant), reciprocal_ranks(similarity.T, relevant.T)]
    scores = {"mean_reciprocal_rank": np.mean(ranks, axis=0)}
    for k in (1, 5, 10):
        scores[f"recall_at_{k}"] = np.mean([rank >= 1 / k - 1e-9 for rank in ranks], axis=0)
    return scores


def contrastive_losses(
    similarities: Float[np.ndarray, "maskings studies studies"], relevant: Bool[np.ndarray, "studies studies"]
) -> tuple[Float[np.ndarray, "studies"], float]:
    """Cross-entropy of each study, mean over maskings and both directions, and the temperature at which it is taken.

    Other reports of identical text are left out of the denominators, as in training. The temperature is the one that
    gives this candidate its lowest mean: a candidate is not charged for being too sure of what it ranks well, which
    one number would mend. The loss is convex in 1 / tau, so a golden-section search finds it.
    """
    others = relevant & ~np.eye(len(relevant), dtype=bool)
    below_one = np.where(others, -np.inf, similarities.astype(np.float64) - 1)  # no exponential overflows
    own = np.diagonal(below_one, axis1=1, axis2=2)

    def losses(scale: float) -> Float[np.ndarray, "studies"]:
        terms = np.exp(scale * below_one)
        return np.mean([np.log(terms.sum(axis=axis)) - scale * own for axis in (1, 2)], axis=(0, 1))

    low, high = 0.0, _LARGEST_SCALE
    for _ in range(_LOOKS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if losses(left).mean() <= losses(right).mean():
            high = right
        else:
            low = left
    scale = (low + high) / 2
    return losses(scale), 1 / scale

"""How well images find their reports and reports their images: the criterion of checkpoint selection."""

import numpy as np
from jaxtyping import Bool, Float


def reciprocal_ranks(
    similarity: Float[np.ndarray, "queries keys"], relevant: Bool[np.ndarray, "queries keys"]
) -> Float[np.ndarray, "queries"]:
    """1 / rank of the best relevant key of every query; ties count against it (as if ranked last among equals).

    Every query needs a relevant key.
    """
    best = np.where(relevant, similarity, -np.inf).max(axis=1, keepdims=True)
    rank = 1 + ((similarity >= best) & ~relevant).sum(axis=1)
    return 1 / rank


def mean_reciprocal_rank(
    similarity: Float[np.ndarray, "images reports"], relevant: Bool[np.ndarray, "images reports"]
) -> float:
    """Mean of both directions. `relevant` marks the own report and every report of identical text."""
    forward = reciprocal_ranks(similarity, relevant).mean()
    backward = reciprocal_ranks(similarity.T, relevant.T).mean()
    return float((forward + backward) / 2)

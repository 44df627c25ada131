"""What every way of matching patches and sentences gives: a score of all pairs, and numbers of the matching ones."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class PairScores:
    scores: Float[Tensor, "images reports"]  # S_ij; differentiable
    error: float  # marginal error, worst pair; 0 where there is no marginal to meet
    iterations: int  # most over all chunks
    entropy: Float[Tensor, "images"]  # of the matching pairs' plans, nats
    gain: Float[Tensor, "images"]  # S - mean cosine of the matching pairs: what matching adds to averaging
    peak_share: Float[Tensor, "images"]  # mass on the best patch of the matching pairs


# patches, sentences, mu, nu, first_match: image i belongs to report `first_match` + i
PairScorer = Callable[[Tensor, Tensor, Tensor, Tensor, int], PairScores]


def of_matching_pairs(
    plans: Float[Tensor, "images reports sentences patches"],
    cosine: Float[Tensor, "images reports sentences patches"],
    scores: Float[Tensor, "images reports"],
    mu: Float[Tensor, "images patches"],
    nu: Float[Tensor, "reports sentences"],
    first_match: int,
) -> dict[str, Float[Tensor, "images"]]:
    """The last three fields of `PairScores`."""
    image = torch.arange(len(mu), device=plans.device)
    report = image + first_match
    plan, own = plans[image, report], cosine[image, report]
    independent = torch.einsum("ia,ib,iba->i", mu, nu[report], own)
    return {
        "entropy": -torch.special.xlogy(plan, plan).sum(dim=(1, 2)),
        "gain": scores[image, report] - independent,
        "peak_share": plan.sum(dim=1).amax(dim=1),
    }

"""Numbers that show a training going wrong before its loss does."""

import torch
from jaxtyping import Float
from torch import Tensor


def effective_rank(embeddings: Float[Tensor, "batch embedding"]) -> Float[Tensor, ""]:
    """How many directions the batch spreads over: (sum of eigenvalues)^2 / sum of their squares, of the covariance.

    The participation ratio: 1 where all lie on a line, min(batch - 1, embedding) where all directions are alike; of the
    B x B products alone, no decomposition. 0 where all embeddings are the same: collapse.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        centred = embeddings.detach().float()
        centred = centred - centred.mean(dim=0)
        products = centred @ centred.T
        trace = products.diagonal().sum()
        return torch.where(trace > 1e-6 * len(products), trace.square() / products.square().sum(), 0.0)

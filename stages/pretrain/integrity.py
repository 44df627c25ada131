"""Semantic integrity estimation: s_i, how much of an image's meaning survived its mask (docs/method.md)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from stages.pretrain.settings import IntegrityKind


class SemanticIntegrity(nn.Module):
    """phi holds one learned value a patch position; s_i is read from the visible ones.

    softplus: s_i = log(1 + exp(phi . m_i + b)); log 2 at the start.
    share:    s_i = sum over visible a of softmax(phi)_a / (1 - r); 1 at the start.
    none:     s_i = 1.
    """

    def __init__(self, kind: IntegrityKind, patches: int) -> None:
        super().__init__()
        self.kind = kind
        self.phi = nn.Parameter(torch.zeros(patches), requires_grad=kind != "none")
        self.bias = nn.Parameter(torch.zeros(()), requires_grad=kind == "softplus")

    def forward(self, visible: Int[Tensor, "batch visible"]) -> Float[Tensor, "batch"]:
        batch, count = visible.shape
        if self.kind == "none":
            return torch.ones(batch, device=visible.device)
        if self.kind == "share":
            share = self.phi.softmax(dim=0).index_select(0, visible.flatten()).view(batch, count)
            return share.sum(dim=1) * self.phi.numel() / count  # 1 / (1 - r) = N / V
        shown = self.phi.index_select(0, visible.flatten()).view(batch, count)
        return F.softplus(shown.sum(dim=1) + self.bias)

    def centred_map(self) -> Float[Tensor, "patches"]:
        """phi without its mean: since V is constant, the mean is a free temperature and says nothing of a place."""
        return (self.phi - self.phi.mean()).detach()

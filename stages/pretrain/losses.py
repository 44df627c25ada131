"""The losses over images and reports: masked contrastive with semantic integrity, and masked image prediction.

Semantic integrity s_i estimates how much of an image's meaning survived its mask (docs/method.md). Masked image
prediction is an MAE decoder with the error on masked patches (docs/method.md; He et al. 2022).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..common.encoders.image import run_blocks
from ..common.encoders.timm_models import Block, build_sincos2d_pos_embed
from .contract import IntegrityKind


class SemanticIntegrity(nn.Module):
    """Semantic integrity s_i: an estimate of how much of an image's meaning its visible patches keep.

      softplus: s_i = log(1 + exp(phi . m_i + b)); log 2 at the start.
      share:    s_i = sum over visible a of softmax(phi)_a / (1 - r); 1 at the start.
      none:     s_i = 1.

    phi holds one learned value per patch position, of which s_i uses the visible ones. Where an image shows another
    number of patches than the `usual` one, phi . m_i is the mean of phi over them times that number, and 1 - r their
    own share: with all patches visible, s is that of a mask of mean integrity, the same for every image.
    """

    def __init__(self, kind: IntegrityKind, patches: int, usual: int | None = None) -> None:
        """Build the map; `usual` is the number V of patches that masked training shows (None: as many as shown)."""
        super().__init__()
        self.kind, self.usual = kind, usual
        self.phi = nn.Parameter(torch.zeros(patches), requires_grad=kind != "none")
        self.bias = nn.Parameter(torch.zeros(()), requires_grad=kind == "softplus")

    def forward(self, visible: Int[Tensor, "batch visible"]) -> Float[Tensor, "batch"]:
        """Return s of every image, given its visible patches."""
        batch, count = visible.shape
        if self.kind == "none":
            return torch.ones(batch, device=visible.device)
        if self.kind == "share":
            share = self.phi.softmax(dim=0).index_select(0, visible.flatten()).view(batch, count)
            return share.sum(dim=1) * self.phi.numel() / count  # 1 / (1 - r) = N / V
        shown = self.phi.index_select(0, visible.flatten()).view(batch, count)
        total = shown.sum(dim=1)
        return F.softplus((total if self.usual in (None, count) else total * (self.usual / count)) + self.bias)

    def centred_map(self) -> Float[Tensor, "patches"]:
        """Return phi without its mean: V is constant, so the mean is a free temperature and carries no position."""
        return (self.phi - self.phi.mean()).detach()


MAX_SCALE = 100.0  # of logits: a mean(s) / tau beyond it would only sharpen the softmax


@dataclass(frozen=True)
class ContrastiveLoss:
    """The loss L_c and its halves."""

    total: Float[Tensor, ""]
    scaled: Float[Tensor, ""]  # 1/2 of both directions, rows scaled by s: trains phi
    weighted: Float[Tensor, ""]  # 1/2 of both directions, pairs weighted by s / sum(s), detached


def mask_false_negatives(
    logits: Float[Tensor, "rows columns"], false_negatives: Bool[Tensor, "rows columns"]
) -> Float[Tensor, "rows columns"]:
    """Remove pairs that are not true negatives (same study, same text) from the denominators."""
    return logits.masked_fill(false_negatives, float("-inf"))


def cross_entropy_both_ways(logits: Float[Tensor, "batch batch"]) -> Float[Tensor, ""]:
    """Return 1/2 [CE over rows + CE over columns]; the diagonal is the match."""
    target = torch.arange(logits.shape[0], device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def contrastive_loss(
    cosine: Float[Tensor, "batch batch"],
    inverse_temperature: Float[Tensor, ""],
    integrity: Float[Tensor, "batch"],
    false_negatives: Bool[Tensor, "batch batch"],
) -> ContrastiveLoss:
    """Return L_c = 1/4 [CE(s_i l_i->t) + CE(s_j l_j->i) + WCE(l_i->t) + WCE(l_j->i)] with l = cosine / tau.

    `cosine` has images as rows and reports as columns. s is a temperature of the pair: it scales the ROW of the query
    in both directions, so the second direction scales the rows of the transpose, not its columns.
    """
    target = torch.arange(cosine.shape[0], device=cosine.device)
    scale = integrity * inverse_temperature
    scale = scale * (MAX_SCALE / scale.mean().detach()).clamp(max=1)  # clamp mean(s) / tau
    weights = (integrity / integrity.sum()).detach()
    plain = inverse_temperature.clamp(max=MAX_SCALE)
    scaled, weighted = [], []
    for rows, excluded in ((cosine, false_negatives), (cosine.T, false_negatives.T)):
        scaled.append(F.cross_entropy(mask_false_negatives(rows * scale.unsqueeze(1), excluded), target))
        each = F.cross_entropy(mask_false_negatives(rows * plain, excluded), target, reduction="none")
        weighted.append((weights * each).sum())
    scaled_term, weighted_term = (scaled[0] + scaled[1]) / 2, (weighted[0] + weighted[1]) / 2  # rows, columns
    return ContrastiveLoss(total=(scaled_term + weighted_term) / 2, scaled=scaled_term, weighted=weighted_term)


class MaskedImageDecoder(nn.Module):
    """Decoder from visible tokens and mask tokens, with fixed sine-cosine positions, to the pixels of every patch."""

    positions: Float[Tensor, "patches width"]  # a buffer

    def __init__(self, width_in: int, grid: int, patch_pixels: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Linear(width_in, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.register_buffer("positions", build_sincos2d_pos_embed([grid, grid], width), persistent=False)
        self.blocks = nn.Sequential(*(Block(width, heads, qkv_bias=True) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, patch_pixels)
        nn.init.normal_(self.mask_token, std=0.02)
        self.recomputes = False

    def forward(
        self, tokens: Float[Tensor, "batch visible width"], visible: Int[Tensor, "batch visible"]
    ) -> Float[Tensor, "batch patches pixels"]:
        """Return the predicted pixels of every patch."""
        known = self.embed(tokens)
        batch, _, width = known.shape
        patches = self.positions.shape[0]
        places = visible.unsqueeze(-1).expand(-1, -1, width)
        full = self.mask_token.to(known.dtype).expand(batch, patches, width).scatter(1, places, known)
        tokens = full + self.positions
        return self.predict(self.norm(run_blocks(self.blocks, tokens, self.recomputes)))


def reconstruction_loss(
    predicted: Float[Tensor, "batch patches pixels"],
    target: Float[Tensor, "batch patches pixels"],
    visible: Bool[Tensor, "batch patches"],
    normalise: bool,
) -> Float[Tensor, ""]:
    """Return the mean squared error over masked patches only; 0 where nothing is masked.

    `normalise` compares each patch after subtracting its mean and dividing by its standard deviation.
    """
    if normalise:
        target = (target - target.mean(dim=-1, keepdim=True)) / (target.var(dim=-1, keepdim=True) + 1e-6).sqrt()
    each = (predicted - target).square().mean(dim=-1)
    masked = (~visible).to(each.dtype)
    return (each * masked).sum() / masked.sum().clamp(min=1)


def effective_rank(embeddings: Float[Tensor, "batch embedding"]) -> Float[Tensor, ""]:
    """Return the effective rank, (sum of eigenvalues)^2 / sum of their squares, of the batch's covariance.

    This participation ratio is 1 where all embeddings lie on a line, min(batch - 1, embedding) where all directions are
    alike, and 0 where all are the same (collapse). It needs only the B x B products, no decomposition.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        centred = embeddings.detach().float()
        centred = centred - centred.mean(dim=0)
        products = centred @ centred.T
        trace = products.diagonal().sum()
        return torch.where(trace > 1e-6 * len(products), trace.square() / products.square().sum(), 0.0)

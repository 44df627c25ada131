"""Masked contrastive loss over global representations (docs/method.md)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

MAX_SCALE = 100.0  # of logits: mean(s) / tau beyond it would only sharpen the softmax


@dataclass(frozen=True)
class ContrastiveLoss:
    total: Float[Tensor, ""]
    scaled: Float[Tensor, ""]  # 1/2 of both directions, rows scaled by s: trains phi
    weighted: Float[Tensor, ""]  # 1/2 of both directions, pairs weighted by s / sum(s), detached


def mask_false_negatives(
    logits: Float[Tensor, "rows columns"], false_negatives: Bool[Tensor, "rows columns"]
) -> Float[Tensor, "rows columns"]:
    """Take pairs that are no true negatives (same study, same text) out of the denominators."""
    return logits.masked_fill(false_negatives, float("-inf"))


def cross_entropy_both_ways(logits: Float[Tensor, "batch batch"]) -> Float[Tensor, ""]:
    """1/2 [CE over rows + CE over columns]; the diagonal is the match."""
    target = torch.arange(logits.shape[0], device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def contrastive_loss(
    cosine: Float[Tensor, "batch batch"],
    inverse_temperature: Float[Tensor, ""],
    integrity: Float[Tensor, "batch"],
    false_negatives: Bool[Tensor, "batch batch"],
) -> ContrastiveLoss:
    """L_c = 1/4 [CE(s_i l_i->t) + CE(s_j l_j->i) + WCE(l_i->t) + WCE(l_j->i)] with l = cosine / tau.

    `cosine` has images as rows and reports as columns. s is a temperature of the pair: it scales the ROW of the
    query in both directions, so the second direction scales the rows of the transpose, not its columns.
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
    scaled_term, weighted_term = sum(scaled) / 2, sum(weighted) / 2
    return ContrastiveLoss(total=(scaled_term + weighted_term) / 2, scaled=scaled_term, weighted=weighted_term)

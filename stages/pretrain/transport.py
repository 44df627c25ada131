"""Patch-sentence matching: the score of every image with every report by optimal transport (design section 2.6-2.9).

By the envelope theorem the gradient of the entropic minimum with respect to the cost is the plan itself, so the plan
is computed without a graph and the backward pass is one product.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from stages.pretrain.pair_scores import PairScores, of_matching_pairs
from stages.pretrain.settings import ScoreKind
from stages.pretrain.sinkhorn import SinkhornSettings, solve

_PAIRS_AT_ONCE = 512  # a chunk's kernel (512 x 8 x 98 floats) stays in the cache


class _Score(torch.autograd.Function):
    """S = value with d S / d cos = plan."""

    @staticmethod
    def forward(ctx, patches, sentences, values, plans):
        ctx.save_for_backward(patches, sentences, plans)
        return values

    @staticmethod
    def backward(ctx, gradient):
        patches, sentences, plans = ctx.saved_tensors
        weighted = plans * gradient[:, :, None, None]  # i j b a
        to_patches = torch.einsum("ijba,jbe->iae", weighted, sentences)
        to_sentences = torch.einsum("ijba,iae->jbe", weighted, patches)
        return to_patches, to_sentences, None, None


def transport_scores(
    patches: Float[Tensor, "images visible embedding"],
    sentences: Float[Tensor, "reports sentences embedding"],
    mu: Float[Tensor, "images visible"],
    nu: Float[Tensor, "reports sentences"],
    first_match: int = 0,
    *,
    settings: SinkhornSettings,
    kind: ScoreKind = "entropic",
) -> PairScores:
    """S_ij for all images and reports; image i belongs to report `first_match` + i.

    Patches and sentences have length 1; mu and nu sum to 1, nu is 0 for padding. `entropic`: 1 - the minimum;
    `transport`: sum T (1 - C) with a detached plan.
    """
    patches, sentences = patches.float(), sentences.float()  # transport stays in float32 under autocast
    images, reports = patches.shape[0], sentences.shape[0]
    with torch.no_grad():
        cosine = torch.einsum("jbe,iae->ijba", sentences, patches)
        plans = torch.empty_like(cosine)
        values = torch.empty(images, reports, device=cosine.device)
        error, iterations = 0.0, 0
        step = images_at_once(reports)
        for first in range(0, images, step):
            block = cosine[first : first + step]
            rows = block.shape[0]
            solved = solve(
                1 - block.flatten(0, 1),
                mu[first : first + step].repeat_interleave(reports, dim=0),
                nu.repeat(rows, 1),
                settings,
            )
            plans[first : first + step] = solved.plan.view_as(block)
            values[first : first + step] = 1 - solved.value.view(rows, reports)
            error, iterations = max(error, solved.error), max(iterations, solved.iterations)
        if kind == "transport":
            values = (plans * cosine).sum(dim=(2, 3))
        statistics = of_matching_pairs(plans, cosine, values, mu, nu, first_match)
    return PairScores(_Score.apply(patches, sentences, values, plans), error, iterations, **statistics)


def images_at_once(reports: int) -> int:
    """Images of one chunk. The solver stops when the worst pair of a chunk has converged, so chunks are not cut."""
    return max(1, _PAIRS_AT_ONCE // reports)


def sentence_marginal(
    weights: Float[Tensor, "reports sentences"], mask: Bool[Tensor, "reports sentences"]
) -> Float[Tensor, "reports sentences"]:
    """nu: weights of a report's sentences, summing to 1; uniform where all weights are zero; padding 0."""
    weights = weights * mask
    total = weights.sum(dim=1, keepdim=True)
    uniform = mask / mask.sum(dim=1, keepdim=True)
    return torch.where(total > 0, weights / total.clamp(min=1e-12), uniform)

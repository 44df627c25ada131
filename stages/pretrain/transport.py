"""Patch-sentence matching: the score of every image with every report by optimal transport (docs/method.md).

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
        flat = sentences.flatten(0, 1)  # jb e
        to_patches, to_sentences = torch.empty_like(patches), torch.zeros_like(flat)
        for image, plan in enumerate(plans):  # one image's pairs at a time: no second array of the plans' size
            weighted = (plan * gradient[image, :, None, None]).flatten(0, 1)  # jb a
            torch.mm(weighted.T, flat, out=to_patches[image])
            to_sentences.addmm_(weighted, patches[image])
        return to_patches, to_sentences.view_as(sentences), None, None


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
    images, reports = len(patches), len(sentences)
    step = images_at_once(reports)
    with torch.autocast(patches.device.type, enabled=False):  # transport stays in single precision
        patches, sentences = _not_half(patches), _not_half(sentences)
        plans = patches.new_empty(images, reports, sentences.shape[1], patches.shape[1])
        chunks = [
            _solve_chunk(patches, sentences, mu, nu, first_match, settings, kind, slice(first, first + step), plans)
            for first in range(0, images, step)
        ]
        values = torch.cat([chunk.scores for chunk in chunks])
        scores = _Score.apply(patches, sentences, values, plans)
    return PairScores(
        scores,
        max(chunk.error for chunk in chunks),
        max(chunk.iterations for chunk in chunks),
        *(torch.cat([getattr(chunk, name) for chunk in chunks]) for name in ("entropy", "gain", "peak_share")),
    )


@torch.no_grad()
def _solve_chunk(
    patches: Float[Tensor, "images visible embedding"],
    sentences: Float[Tensor, "reports sentences embedding"],
    mu: Float[Tensor, "images visible"],
    nu: Float[Tensor, "reports sentences"],
    first_match: int,
    settings: SinkhornSettings,
    kind: ScoreKind,
    rows: slice,
    plans: Float[Tensor, "images reports sentences visible"],
) -> PairScores:
    """Scores of the images `rows` with all reports, without a graph; their plans go into `plans`."""
    cosine = (sentences.flatten(0, 1) @ patches[rows].transpose(1, 2)).view_as(plans[rows])
    count, reports = cosine.shape[:2]
    solved = solve(
        1 - cosine.flatten(0, 1),
        mu[rows].repeat_interleave(reports, dim=0),
        nu.repeat(count, 1),
        settings,
    )
    plan = plans[rows].copy_(solved.plan.view_as(cosine))
    values = 1 - solved.value if kind == "entropic" else (plan * cosine).sum(dim=(2, 3))
    values = values.view(count, reports)
    statistics = of_matching_pairs(plan, cosine, values, mu[rows], nu, first_match + rows.start)
    return PairScores(values, solved.error, solved.iterations, **statistics)


def _not_half(vectors: Tensor) -> Tensor:
    return vectors if vectors.dtype == torch.float64 else vectors.float()


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

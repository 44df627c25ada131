"""Scores within fixed groups of the global batch, the work divided among the ranks (docs/method.md).

Each rank solves the transport of its images with all reports of their group, so that only sentences are sent, and the
scores come back as rows. Groups are cut from the global batch: the number of ranks does not change what is compared.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from stages.pretrain.pair_scores import PairScorer
from stages.pretrain.ranks import Ranks
from stages.pretrain.transport import images_at_once


@dataclass(frozen=True)
class GroupedScores:
    groups: list[tuple[slice, Float[Tensor, "_ _"]]]  # rows of the global batch and their S; differentiable
    diagnostics: dict[str, Tensor]  # over the global batch


def grouped_scores(
    patches: Float[Tensor, "own visible embedding"],
    sentences: Float[Tensor, "own sentences embedding"],
    mu: Float[Tensor, "batch visible"],
    nu: Float[Tensor, "batch sentences"],
    group: int,
    score: PairScorer,
    ranks: Ranks,
) -> GroupedScores:
    """S_ij of all i, j of one group, for each group of `group` successive pairs; the last one may be smaller."""
    batch = len(mu)
    group = min(group, batch)
    groups = [slice(first, min(first + group, batch)) for first in range(0, batch, group)]
    own = ranks.rows(batch)
    sentences = ranks.gather(sentences)
    divided = _chunks_stay_whole(groups, batch // ranks.world)
    if not divided:  # few pairs: each rank solves for all of them
        own, patches = slice(0, batch), ranks.gather(patches)
    rows = []
    for each in groups:
        first, last = max(each.start, own.start), min(each.stop, own.stop)
        if first < last:
            part = slice(first, last)
            inner = slice(first - own.start, last - own.start)
            matched = score(patches[inner], sentences[each], mu[part], nu[each], first - each.start)
            solved = torch.full_like(matched.gain, matched.iterations), torch.full_like(matched.gain, matched.error)
            statistics = torch.stack([matched.entropy, matched.gain, matched.peak_share, *solved], dim=1)
            padded = F.pad(matched.scores, (0, group - matched.scores.shape[1]))
            rows.append(torch.cat([padded, statistics], dim=1))
    table = torch.cat(rows)
    table = ranks.gather(table) if divided else table
    statistics = table[:, group:].detach()
    return GroupedScores(
        [(each, table[each, : each.stop - each.start]) for each in groups],
        {
            "transport/iterations": statistics[:, 3].amax(),
            "transport/marginal_error": statistics[:, 4].amax(),
            "transport/plan_entropy": statistics[:, 0].mean(),
            "transport/gain_over_mean_cosine": statistics[:, 1].mean(),
            "transport/peak_share": statistics[:, 2].mean(),
        },
    )


def _chunks_stay_whole(groups: list[slice], share: int) -> bool:
    """Whether no border between two ranks cuts one of the solver's chunks: the scores would depend on the ranks."""
    borders = range(share, groups[-1].stop, share)
    return all(
        (border - each.start) % images_at_once(each.stop - each.start) == 0
        for each in groups
        for border in borders
        if each.start < border < each.stop
    )

"""Scores of all (image, report) pairs by optimal transport or by attention, within fixed groups of the global batch.

Transport scores (docs/method.md): by the envelope theorem the gradient of the entropic minimum with respect to the cost
is the plan itself. So the plan is computed without a graph, and the backward pass is one product.

Attention scores are the baseline for transport (GLoRIA, Huang et al., ICCV 2021, eq. 3-6). For image i, report j,
sentence b and visible patch a, all of length 1:

  w_ba = softmax over a of cos(p_ia, t_jb) / tau_a          every sentence attends to the patches
  c_b  = sum_a w_ba p_ia                                    its context
  S_ij = tau_s log sum_b nu_jb exp(cos(c_b, t_jb) / tau_s)  over the sentences

GLoRIA attends from words to regions with tau_a = 1/4, tau_s = 1/5 and sums over b without nu: uniform nu gives its
score less tau_s log M, so that a long report is no better for being long. The patches have no marginal mu here.

The work is divided among the ranks (docs/method.md). Each rank solves the transport of its images with all reports of
their group, so that only sentences are sent, and the scores come back as rows. Groups are cut from the global batch, so
the number of ranks does not change what is compared.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from .contract import ScoreKind
from .pot import difference_from_pot
from .ranks import Ranks
from .sinkhorn import Plans, SinkhornSettings, solve


@dataclass(frozen=True)
class PairScores:
    """Scores of all pairs, and statistics of the matched pairs, whatever the way of matching."""

    scores: Float[Tensor, "images reports"]  # S_ij; differentiable
    error: Float[Tensor, ""]  # marginal error, worst pair; 0 where there is no marginal constraint
    iterations: int  # most over all chunks
    entropy: Float[Tensor, "images"]  # of the matched pairs' plans, nats
    gain: Float[Tensor, "images"]  # S - mean cosine of the matched pairs: what matching adds to averaging
    peak_share: Float[Tensor, "images"]  # mass on the best patch of the matched pairs


@dataclass(frozen=True)
class TransportScores(PairScores):
    """Scores by transport, with its detached plans."""

    plans: Float[Tensor, "images reports sentences patches"]
    minima: Float[Tensor, "images reports"]


# patches, sentences, mu, nu, first_match: image i belongs to report `first_match` + i
PairScorer = Callable[[Tensor, Tensor, Tensor, Tensor, int], PairScores]


@runtime_checkable  # isinstance asks for a callable
class Solver(Protocol):
    """sinkhorn.solve or pot.solve_by_pot."""

    def __call__(
        self,
        cost: Float[Tensor, "pairs sentences patches"],
        mu: Float[Tensor, "pairs patches"],
        nu: Float[Tensor, "pairs sentences"],
        settings: SinkhornSettings,
    ) -> Plans:
        """Return the plans of pairs, with their minima."""
        ...


def of_matching_pairs(
    plans: Float[Tensor, "images reports sentences patches"],
    cosine: Float[Tensor, "images reports sentences patches"],
    scores: Float[Tensor, "images reports"],
    mu: Float[Tensor, "images patches"],
    nu: Float[Tensor, "reports sentences"],
    first_match: int,
) -> dict[str, Float[Tensor, "images"]]:
    """Return entropy, gain and peak share of `PairScores`."""
    image = torch.arange(len(mu), device=plans.device)
    report = image + first_match
    plan, own = plans[image, report], cosine[image, report]
    independent = torch.einsum("ia,ib,iba->i", mu, nu[report], own)
    return {
        "entropy": -torch.special.xlogy(plan, plan).sum(dim=(1, 2)),
        "gain": scores[image, report] - independent,
        "peak_share": plan.sum(dim=1).amax(dim=1),
    }


def attention_scores(
    patches: Float[Tensor, "images visible embedding"],
    sentences: Float[Tensor, "reports sentences embedding"],
    mu: Float[Tensor, "images visible"],
    nu: Float[Tensor, "reports sentences"],
    first_match: int = 0,
    *,
    attention_temperature: float,
    sentence_temperature: float,
) -> PairScores:
    """Return S_ij of all images and reports.

    `mu` serves the diagnostics only; nu sums to 1 and is 0 for padding.
    """
    with torch.autocast(patches.device.type, enabled=False):  # in single precision, like transport
        patches, sentences = patches.float(), sentences.float()
        cosine = torch.einsum("jbe,iae->ijba", sentences, patches)
        attention = (cosine / attention_temperature).softmax(dim=3)
        # |c_b|^2 = w G w^T with the patches' inner products G: no context of width E for each of the pairs
        products = torch.einsum("iae,ice->iac", patches, patches)
        length = (torch.einsum("ijba,iac->ijbc", attention, products) * attention).sum(dim=3).sqrt()
    similarity = (attention * cosine).sum(dim=3) / length
    padding = nu == 0
    log_nu = nu.masked_fill(padding, 1).log().masked_fill(padding, float("-inf"))
    scores = sentence_temperature * (similarity / sentence_temperature + log_nu).logsumexp(dim=2)
    with torch.no_grad():
        plans = attention * nu[None, :, :, None]
        statistics = of_matching_pairs(plans, cosine, scores, mu, nu, first_match)
    return PairScores(scores, scores.new_zeros(()), 1, **statistics)


_PAIRS_AT_ONCE = 512  # on a CPU: a chunk's kernel (512 x 8 x 98 floats) stays in the cache
_BYTES_AT_ONCE = 2**30  # on a GPU: of one array of the size of a chunk's plans; the solver holds three


class _Score(torch.autograd.Function):
    """S = value with d S / d cos = plan."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor, sentences: Tensor, values: Tensor, plans: Tensor) -> Tensor:
        ctx.save_for_backward(patches, sentences, plans)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        patches, sentences, plans = ctx.saved_tensors
        flat = sentences.flatten(0, 1)  # jb e
        to_patches, to_sentences = torch.empty_like(patches), torch.zeros_like(flat)
        step = images_at_once(plans)
        for first in range(0, len(plans), step):  # on a CPU without a second array of the plans' size
            some = slice(first, first + step)
            weighted = (plans[some] * gradient[some, :, None, None]).flatten(1, 2)  # i jb a
            torch.matmul(weighted.transpose(1, 2), flat, out=to_patches[some])
            to_sentences.addmm_(weighted.transpose(0, 1).flatten(1), patches[some].flatten(0, 1))
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
    solver: Solver = solve,
) -> TransportScores:
    """S_ij for all images and reports; image i belongs to report `first_match` + i.

    Patches and sentences have length 1; mu and nu sum to 1, nu is 0 for padding. `entropic` scores are 1 - the minimum;
    `transport` scores are sum T (1 - C) with a detached plan.
    """
    images, reports = len(patches), len(sentences)
    with torch.autocast(patches.device.type, enabled=False):  # transport stays in single precision
        patches, sentences = _not_half(patches), _not_half(sentences)
        plans = patches.new_empty(images, reports, sentences.shape[1], patches.shape[1])
        step = images_at_once(plans)
        solve_costs = partial(solver, settings=settings)
        chunks = [
            _solve_chunk(patches, sentences, mu, nu, first_match, solve_costs, kind, plans, slice(first, first + step))
            for first in range(0, images, step)
        ]
        values = torch.cat([chunk.scores for chunk in chunks])
        scores = _Score.apply(patches, sentences, values, plans)
    return TransportScores(
        scores,
        error=torch.stack([chunk.error for chunk in chunks]).amax(),
        iterations=max(chunk.iterations for chunk in chunks),
        entropy=torch.cat([chunk.entropy for chunk in chunks]),
        gain=torch.cat([chunk.gain for chunk in chunks]),
        peak_share=torch.cat([chunk.peak_share for chunk in chunks]),
        plans=plans,
        minima=torch.cat([chunk.minima for chunk in chunks]),
    )


@torch.no_grad()
def _solve_chunk(
    patches: Float[Tensor, "images visible embedding"],
    sentences: Float[Tensor, "reports sentences embedding"],
    mu: Float[Tensor, "images visible"],
    nu: Float[Tensor, "reports sentences"],
    first_match: int,
    solve_costs: Callable[[Tensor, Tensor, Tensor], Plans],  # of costs, mu, nu
    kind: ScoreKind,
    plans: Float[Tensor, "images reports sentences visible"],
    rows: slice,
) -> TransportScores:
    """Return scores of the images `rows` with all reports, without a graph; write their plans into `plans`."""
    cosine = (sentences.flatten(0, 1) @ patches[rows].transpose(1, 2)).view_as(plans[rows])
    count, reports = cosine.shape[:2]
    costs = 1 - cosine.flatten(0, 1)
    solved = solve_costs(costs, mu[rows].repeat_interleave(reports, dim=0), nu.repeat(count, 1))
    plan = plans[rows].copy_(solved.plan.view_as(cosine))
    values = 1 - solved.value if kind == "entropic" else (plan * cosine).sum(dim=(2, 3))
    values = values.view(count, reports)
    statistics = of_matching_pairs(plan, cosine, values, mu[rows], nu, first_match + rows.start)
    minima = solved.value.view(count, reports)
    return TransportScores(values, solved.error, solved.iterations, **statistics, plans=plan, minima=minima)


def _not_half(vectors: Tensor) -> Tensor:
    return vectors if vectors.dtype == torch.float64 else vectors.float()


def images_at_once(plans: Float[Tensor, "images reports sentences visible"]) -> int:
    """Return the number of images per chunk of all `plans`, by what the caches of a CPU or a GPU's memory hold."""
    if plans.device.type == "cpu":
        return max(1, _PAIRS_AT_ONCE // plans.shape[1])
    return max(1, _BYTES_AT_ONCE // (plans[0].numel() * plans.element_size()))


def sentence_marginal(
    weights: Float[Tensor, "reports sentences"], mask: Bool[Tensor, "reports sentences"]
) -> Float[Tensor, "reports sentences"]:
    """Return nu: weights of a report's sentences, summing to 1; uniform where all are zero; 0 for padding."""
    weights = weights * mask
    total = weights.sum(dim=1, keepdim=True)
    uniform = mask / mask.sum(dim=1, keepdim=True)
    return torch.where(total > 0, weights / total.clamp(min=1e-12), uniform)


# Names in the journal of the fields of `Difference`.
DIFFERENCES_FROM_POT = (
    "transport/difference_from_pot",
    "transport/plan_difference_from_pot",
    "transport/difference_from_pot_in_bounds",
)


@dataclass(frozen=True)
class Comparison:
    """The pair of a step that is compared with POT: rows of the global batch, in one group."""

    image: int
    report: int
    settings: SinkhornSettings  # of the solver that is compared

    def rows(
        self,
        patches: Float[Tensor, "images visible embedding"],
        sentences: Float[Tensor, "reports sentences embedding"],
        mu: Float[Tensor, "images visible"],
        nu: Float[Tensor, "reports sentences"],
        matched: TransportScores,
        first_image: int,
        first_report: int,
    ) -> Float[Tensor, "images differences"]:
        """Return the difference in the row of `image`, if it is among these images; 0 elsewhere."""
        found = matched.gain.new_zeros(len(matched.gain), len(DIFFERENCES_FROM_POT))
        i, j = self.image - first_image, self.report - first_report
        if 0 <= i < len(found):
            pair = patches[i], sentences[j], mu[i], nu[j], matched.plans[i, j], matched.minima[i, j]
            found[i] = found.new_tensor(astuple(difference_from_pot(*pair, self.settings)))
        return found


@dataclass(frozen=True)
class GroupedScores:
    """Scores of all groups."""

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
    compared: Comparison | None = None,
) -> GroupedScores:
    """Return S_ij of all i, j of one group, for each group of `group` successive pairs; the last may be smaller.

    The rank that solves the pair `compared` compares it with POT, and all ranks return the difference.
    """
    batch = len(mu)
    group = min(group, batch)
    groups = [slice(first, min(first + group, batch)) for first in range(0, batch, group)]
    own = ranks.rows(batch)
    sentences = ranks.gather(sentences)
    rows = []
    for each in groups:
        first, last = max(each.start, own.start), min(each.stop, own.stop)
        if first < last:
            part = slice(first, last)
            inner = slice(first - own.start, last - own.start)
            matched = score(patches[inner], sentences[each], mu[part], nu[each], first - each.start)
            solved = torch.full_like(matched.gain, matched.iterations), matched.error.expand_as(matched.gain)
            statistics = torch.stack([matched.entropy, matched.gain, matched.peak_share, *solved], dim=1)
            if compared is not None and isinstance(matched, TransportScores):  # attention is never compared
                vectors = patches[inner], sentences[each], mu[part], nu[each]
                statistics = torch.cat([statistics, compared.rows(*vectors, matched, part.start, each.start)], dim=1)
            padded = F.pad(matched.scores, (0, group - matched.scores.shape[1]))
            rows.append(torch.cat([padded, statistics], dim=1))
    table = ranks.gather(torch.cat(rows))
    statistics = table[:, group:].detach()
    diagnostics = {
        "transport/iterations": statistics[:, 3].amax(),
        "transport/marginal_error": statistics[:, 4].amax(),
        "transport/plan_entropy": statistics[:, 0].mean(),
        "transport/gain_over_mean_cosine": statistics[:, 1].mean(),
        "transport/peak_share": statistics[:, 2].mean(),
    }
    if compared is not None:
        diagnostics |= zip(DIFFERENCES_FROM_POT, statistics[compared.image, 5:], strict=True)
    return GroupedScores([(each, table[each, : each.stop - each.start]) for each in groups], diagnostics)

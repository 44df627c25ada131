"""Patch-sentence matching by attention, the baseline for transport (GLoRIA, Huang et al., ICCV 2021, eq. 3-6).

For image i, report j, sentence b and visible patch a, all of length 1:

    w_ba = softmax over a of cos(p_ia, t_jb) / tau_a          every sentence attends to the patches
    c_b  = sum_a w_ba p_ia                                    its context
    S_ij = tau_s log sum_b nu_jb exp(cos(c_b, t_jb) / tau_s)  over the sentences

GLoRIA attends from words to regions with tau_a = 1/4, tau_s = 1/5 and sums over b without nu: uniform nu gives its
score less tau_s log M, so that a long report is no better for being long. Nothing is asked of the patches: no mu.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from stages.pretrain.pair_scores import PairScores, of_matching_pairs


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
    """S_ij for all images and reports. `mu` serves the diagnostics alone; nu sums to 1 and is 0 for padding."""
    with torch.autocast(patches.device.type, enabled=False):  # in single precision, as transport
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
    return PairScores(scores, 0.0, 1, **statistics)

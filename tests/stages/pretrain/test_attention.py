"""Attention matching against its equations, written one pair at a time in float64."""

import torch
from torch.nn import functional as F

from stages.pretrain.transport import attention_scores

TEMPERATURES = {"attention_temperature": 0.25, "sentence_temperature": 0.2}


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(*shape: int, seed: int) -> torch.Tensor:
    return F.normalize(drawn(*shape, seed=seed), dim=-1)


def of_one_pair(patches, sentences, nu):
    total = 0.0
    for b in range(len(sentences)):
        weights = torch.softmax(patches @ sentences[b] / 0.25, dim=0)
        context = weights @ patches
        total = total + nu[b] * torch.exp(F.cosine_similarity(context, sentences[b], dim=0) / 0.2)
    return 0.2 * torch.log(total)


def test_scores_and_gradient_equal_the_equations_and_padding_is_left_out() -> None:
    free = drawn(3, 6, 8, seed=0).requires_grad_(), drawn(4, 3, 8, seed=1).requires_grad_()
    patches, sentences = (F.normalize(each, dim=-1) for each in free)
    sentences = sentences * torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]]).unsqueeze(-1)  # 0 is padding
    nu = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.4, 0.0], [1.0, 0.0, 0.0], [1 / 3] * 3], dtype=torch.float64)
    mu = torch.full((3, 6), 1 / 6)
    ours = attention_scores(patches, sentences, mu, nu.float(), 1, **TEMPERATURES).scores
    truth = torch.stack([torch.stack([of_one_pair(p, s, n) for s, n in zip(sentences, nu, strict=True)])
                         for p in patches])  # fmt: skip
    torch.testing.assert_close(ours, truth.float(), atol=1e-5, rtol=1e-5)
    weights = torch.arange(12.0).view(3, 4)
    ours, exact = (torch.autograd.grad((each * weights).sum(), free, retain_graph=True) for each in (ours, truth))
    torch.testing.assert_close(ours, exact, atol=1e-4, rtol=1e-4)


def test_sharp_attention_is_the_best_patch_and_a_sentence_said_twice_counts_once() -> None:
    patches, sentence = unit(2, 6, 8, seed=2), unit(2, 1, 8, seed=3)
    mu, nu = torch.full((2, 6), 1 / 6), torch.ones(2, 1)
    sharp = attention_scores(patches, sentence, mu, nu, attention_temperature=1e-3, sentence_temperature=0.2)
    best = torch.einsum("iae,jbe->ija", patches, sentence).amax(dim=2).float()
    torch.testing.assert_close(sharp.scores, best, atol=1e-4, rtol=0)
    torch.testing.assert_close(sharp.peak_share, torch.ones(2), atol=1e-3, rtol=0)
    once = attention_scores(patches, sentence, mu, nu, **TEMPERATURES).scores
    twice = attention_scores(patches, sentence.expand(-1, 2, -1), mu, nu.expand(-1, 2) / 2, **TEMPERATURES).scores
    torch.testing.assert_close(once, twice)

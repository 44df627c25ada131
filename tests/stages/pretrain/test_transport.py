"""Scores of all pairs: gradients against finite differences, chunks against a loop, known limits."""

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from stages.pretrain import sinkhorn, transport
from stages.pretrain.sinkhorn import SinkhornSettings, solve
from stages.pretrain.transport import sentence_marginal, transport_scores

EXACT = SinkhornSettings(0.1, math.inf, 1e-6, 5000)


def embeddings(seed: int, images: int, reports: int, patches: int = 6, sentences: int = 3, width: int = 5):
    generator = torch.Generator().manual_seed(seed)
    p = F.normalize(torch.randn(images, patches, width, generator=generator), dim=-1)
    s = F.normalize(torch.randn(reports, sentences, width, generator=generator), dim=-1)
    mu = torch.full((images, patches), 1 / patches)
    nu = torch.full((reports, sentences), 1 / sentences)
    return p, s, mu, nu


@pytest.mark.parametrize("rho", [0.0, 0.1, math.inf])
def test_scores_equal_one_minus_each_pairs_minimum(rho: float) -> None:
    p, s, mu, nu = embeddings(0, 3, 400)  # 400 reports: several chunks
    settings = SinkhornSettings(0.1, rho, 1e-6, 5000)
    scores = transport_scores(p, s, mu, nu, settings=settings).scores
    for i, j in ((0, 0), (1, 399), (2, 17)):
        cost = (1 - s[j] @ p[i].T).unsqueeze(0)
        alone = 1 - solve(cost, mu[i : i + 1], nu[j : j + 1], settings).value
        assert float(scores[i, j]) == pytest.approx(float(alone), abs=1e-5)


@pytest.mark.parametrize("rho", [0.0, 0.2, math.inf])
def test_the_plan_is_the_gradient(rho: float) -> None:
    """Central differences of the minimum along a random direction (envelope theorem)."""
    p, s, mu, nu = embeddings(1, 2, 2)
    settings = SinkhornSettings(0.1, rho, 1e-6, 20000)
    weights = torch.randn(2, 2, generator=torch.Generator().manual_seed(2))
    p.requires_grad_()
    s.requires_grad_()
    (transport_scores(p, s, mu, nu, settings=settings).scores * weights).sum().backward()
    direction = torch.randn(p.shape, generator=torch.Generator().manual_seed(3))
    step = 1e-2
    up, down = (
        (
            transport_scores(p.detach() + sign * step * direction, s.detach(), mu, nu, settings=settings).scores
            * weights
        ).sum()
        for sign in (1, -1)
    )
    assert float((p.grad * direction).sum()) == pytest.approx(float((up - down) / (2 * step)), rel=5e-3, abs=1e-4)
    assert s.grad.abs().sum() > 0


def test_one_sentence_balanced_is_the_mean_cosine() -> None:
    p, s, mu, nu = embeddings(2, 3, 3, sentences=1)
    matched = transport_scores(p, s, mu, nu, settings=EXACT, kind="transport")
    torch.testing.assert_close(matched.scores, torch.einsum("iae,je->ij", p, s[:, 0]) / p.shape[1])
    torch.testing.assert_close(matched.gain, torch.zeros(3), atol=1e-6, rtol=0)


def test_padding_changes_nothing() -> None:
    p, s, mu, nu = embeddings(3, 2, 2)
    padded = torch.cat([s, torch.zeros(2, 4, s.shape[-1])], dim=1)
    wider = torch.cat([nu, torch.zeros(2, 4)], dim=1)
    torch.testing.assert_close(
        transport_scores(p, padded, mu, wider, settings=EXACT).scores,
        transport_scores(p, s, mu, nu, settings=EXACT).scores,
    )


def test_planted_matches_score_highest() -> None:
    """Each report's sentences are patches of its own image: the diagonal wins."""
    p, _, mu, nu = embeddings(4, 6, 6, width=32)
    scores = transport_scores(p, p[:, :3].clone(), mu, nu, settings=SinkhornSettings(0.1, 0.1, 1e-4, 200)).scores
    assert torch.equal(scores.argmax(dim=1), torch.arange(6))


def test_sentence_marginal_follows_weights_and_falls_back_to_uniform() -> None:
    mask = torch.tensor([[True, True, False], [True, True, True]])
    weights = torch.tensor([[3.0, 1.0, 9.0], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.75, 0.25, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(sentence_marginal(weights, mask), expected)


_FREE = {
    *(
        "view",
        "_unsafe_view",
        "_reshape_alias",
        "expand",
        "transpose",
        "t",
        "permute",
        "unsqueeze",
        "squeeze",
        "select",
    ),
    *("slice", "split", "unbind", "detach", "alias", "as_strided", "empty", "empty_like", "new_empty"),
}  # operators without a kernel


class Calls(TorchDispatchMode):
    """Count what a GPU would be asked for: kernels, and values that Python waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels, self.waits = 0, 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        name = function._schema.name.split("::")[1]
        self.waits += name == "_local_scalar_dense"
        self.kernels += name not in _FREE
        return function(*arguments, **(options or {}))


LOOSE = SinkhornSettings(0.1, math.inf, tolerance=1e-2, max_iterations=100, cost_range=2.0)


def loss_and_gradients(patches, sentences, mu, nu, **changes):
    given = [each.clone().requires_grad_() for each in (patches, sentences)]
    scores = transport_scores(*given, mu, nu, settings=dataclasses.replace(LOOSE, **changes)).scores
    weights = torch.linspace(-1, 1, scores.numel()).view(scores.shape)
    return [scores.detach(), *torch.autograd.grad((scores * weights).sum(), given)]


@pytest.mark.parametrize("changes", [{}, {"rho": 0.1}, {"rho": 0.0}, {"epsilon": 0.02, "cost_range": math.inf}])
def test_no_pair_depends_on_those_beside_it(changes, monkeypatch) -> None:
    """A pair that has converged waits for no other: chunks, ranks and groups change rounding alone."""
    given = embeddings(3, 7, 9, patches=20, sentences=4, width=16)
    whole = loss_and_gradients(*given, **changes)
    for pairs in (1, 16, 10_000):
        monkeypatch.setattr(transport, "_PAIRS_AT_ONCE", pairs)
        for one, other in zip(loss_and_gradients(*given, **changes), whole, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    patches, sentences, mu, nu = given
    alone = transport_scores(
        patches[2:3], sentences[5:6], mu[2:3], nu[5:6], settings=dataclasses.replace(LOOSE, **changes)
    )
    torch.testing.assert_close(alone.scores[0, 0], whole[0][2, 5], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"rho": 0.1}, {"epsilon": 0.02, "cost_range": math.inf}])
def test_looking_seldom_changes_nothing(changes, monkeypatch) -> None:
    given = embeddings(3, 7, 9, patches=20, sentences=4, width=16)
    often = loss_and_gradients(*given, **changes)
    monkeypatch.setattr(sinkhorn, "_between_looks", lambda _device: 8)
    for one, other in zip(loss_and_gradients(*given, **changes), often, strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_a_gpu_is_asked_for_few_kernels_and_hardly_waited_for(monkeypatch) -> None:
    """All pairs in one chunk, as there: counted on a CPU, which is told to look as seldom."""
    monkeypatch.setattr(transport, "_PAIRS_AT_ONCE", 10**9)
    monkeypatch.setattr(sinkhorn, "_between_looks", lambda _device: 8)
    given = embeddings(3, 7, 9, patches=20, sentences=4, width=16)
    with Calls() as calls:
        loss_and_gradients(*given)
    assert calls.waits <= 3
    assert calls.kernels < 400

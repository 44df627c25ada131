"""Transport in double precision: POT pair by pair, limits, symmetries, unrolled gradients, planted findings."""

import math

import numpy as np
import ot
import pytest
import torch
from torch.nn import functional as F

from stages.pretrain.sinkhorn import SinkhornSettings, solve
from stages.pretrain.transport import transport_scores

BALANCED = math.inf


def settings_of(epsilon: float = 0.1, rho: float = BALANCED, tolerance: float = 1e-10) -> SinkhornSettings:
    return SinkhornSettings(epsilon, rho, tolerance, 50_000)


def unit(*shape: int, seed: int) -> torch.Tensor:
    vectors = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(vectors, dim=-1)


def uniform(rows: int, columns: int) -> torch.Tensor:
    return torch.full((rows, columns), 1 / columns, dtype=torch.float64)


def structured(sentences: int, patches: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One image whose patches cluster around what a few sentences say, one report; unit vectors."""
    said = unit(sentences, 16, seed=seed)
    noise = torch.randn(patches, 16, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    near = F.normalize(said[torch.arange(patches) % sentences] + 0.2 * noise, dim=-1)
    return near.unsqueeze(0), said.unsqueeze(0)


@pytest.mark.parametrize("epsilon", [0.025, 0.1, 1.0, 10.0])
@pytest.mark.parametrize(("sentences", "patches"), [(1, 9), (3, 1), (5, 24), (20, 16)])
@pytest.mark.parametrize("kind", ["random", "structured"])
def test_plan_and_value_equal_pot(epsilon: float, sentences: int, patches: int, kind: str) -> None:
    p, t = structured(sentences, patches, 3) if kind == "structured" else (
        unit(1, patches, 16, seed=4), unit(1, sentences, 16, seed=5))  # fmt: skip
    cost = 1 - t @ p.transpose(1, 2)
    generator = torch.Generator().manual_seed(6)
    nu = torch.rand(1, sentences, generator=generator, dtype=torch.float64) + 0.1
    mu = torch.rand(1, patches, generator=generator, dtype=torch.float64) + 0.1
    nu, mu = nu / nu.sum(), mu / mu.sum()
    padded = F.pad(cost, (0, 0, 0, 2), value=1.0), mu, F.pad(nu, (0, 2))
    solved = solve(*padded, settings_of(epsilon))
    truth = ot.solve(
        cost[0].numpy(), nu[0].numpy(), mu[0].numpy(), reg=epsilon, reg_type="KL", tol=1e-12, max_iter=100_000
    )
    assert float(solved.value) == pytest.approx(float(truth.value), abs=1e-8)
    np.testing.assert_allclose(solved.plan[0, :sentences].numpy(), truth.plan, atol=1e-8)
    np.testing.assert_allclose(solved.plan[0].sum(dim=0).numpy(), mu[0].numpy(), atol=1e-9)
    assert not solved.plan[0, sentences:].any()


def test_in_single_precision_plans_stay_within_a_millionth() -> None:
    p, t = structured(6, 30, 7)
    cost, mu, nu = 1 - t @ p.transpose(1, 2), uniform(1, 30), uniform(1, 6)
    truth = ot.solve(cost[0].numpy(), nu[0].numpy(), mu[0].numpy(), reg=0.1, reg_type="KL", tol=1e-12, max_iter=10**5)
    solved = solve(cost.float(), mu.float(), nu.float(), settings_of(tolerance=1e-6))
    np.testing.assert_allclose(solved.plan[0].numpy(), truth.plan, atol=1e-6)


@pytest.fixture(scope="module")
def pairs() -> tuple[torch.Tensor, ...]:
    return unit(2, 7, 8, seed=0), unit(3, 4, 8, seed=1), uniform(2, 7), uniform(3, 4)


def score(pairs, **changes) -> torch.Tensor:
    return transport_scores(*pairs, settings=settings_of(**changes)).scores


def cosines(pairs) -> torch.Tensor:
    return torch.einsum("iae,jbe->ijba", pairs[0], pairs[1])


@pytest.mark.parametrize("rho", [0.0, 0.3, BALANCED])
def test_a_large_epsilon_gives_the_mean_cosine(pairs, rho: float) -> None:
    mean = cosines(pairs).mean(dim=(2, 3))
    torch.testing.assert_close(score(pairs, epsilon=1e4, rho=rho), mean, atol=1e-4, rtol=0)


def test_a_small_epsilon_gives_exact_transport(pairs) -> None:
    ours = score(pairs, epsilon=2e-3, tolerance=1e-6)
    for i in range(2):
        for j in range(3):
            cost = (1 - pairs[1][j] @ pairs[0][i].T).numpy()
            exact = ot.emd2(pairs[3][j].numpy(), pairs[2][i].numpy(), cost)
            assert float(ours[i, j]) == pytest.approx(1 - exact, abs=2e-3 * math.log(28))  # eps times the entropy


def test_a_strong_rho_gives_balanced_transport_and_a_weak_one_the_closed_form(pairs) -> None:
    torch.testing.assert_close(score(pairs, rho=1e4), score(pairs), atol=1e-4, rtol=0)
    closed = 0.1 * torch.logsumexp(cosines(pairs) / 0.1 - math.log(7), dim=3).mean(dim=2)
    torch.testing.assert_close(score(pairs, rho=0.0), closed)
    torch.testing.assert_close(score(pairs, rho=1e-5), closed, atol=1e-4, rtol=0)


def test_relaxing_can_only_raise_the_score(pairs) -> None:
    scores = torch.stack([score(pairs, rho=rho) for rho in (BALANCED, 1.0, 0.3, 0.1, 0.0)])
    assert (scores.diff(dim=0) > -1e-9).all()


@pytest.mark.parametrize("rho", [0.0, 0.3, BALANCED])
def test_order_and_halved_sentences_change_nothing(pairs, rho: float) -> None:
    p, t, mu, nu = pairs
    expected = score(pairs, rho=rho)
    moved = p[:, torch.randperm(7)], t[:, torch.randperm(4)], mu, nu
    torch.testing.assert_close(score(moved, rho=rho), expected)
    halved = p, torch.cat([t, t[:, :1]], dim=1), mu, torch.tensor([[0.125, 0.25, 0.25, 0.25, 0.125]] * 3).double()
    torch.testing.assert_close(score(halved, rho=rho), expected)


def unrolled(p, t, mu, nu, epsilon: float, rho: float, iterations: int) -> torch.Tensor:
    """The primal value of one pair after plain log-domain Sinkhorn, with every step on the graph."""
    cost = 1 - t @ p.T  # sentences, patches
    power = 1.0 if math.isinf(rho) else rho / (rho + epsilon)
    u = torch.zeros_like(mu)
    for _ in range(iterations):
        v = -torch.logsumexp(-cost / epsilon + (mu.log() + u), dim=1)
        u = -power * torch.logsumexp(-cost / epsilon + (nu.log() + v).unsqueeze(1), dim=0)
    v = -torch.logsumexp(-cost / epsilon + (mu.log() + u), dim=1)
    plan = torch.exp(-cost / epsilon + (mu.log() + u) + (nu.log() + v).unsqueeze(1))
    reference = nu.unsqueeze(1) * mu
    value = (plan * cost).sum() + epsilon * (plan * (plan / reference).log()).sum()
    return value if math.isinf(rho) else value + rho * (plan.sum(dim=0) * (plan.sum(dim=0) / mu).log()).sum()


@pytest.mark.parametrize("rho", [0.3, BALANCED])
def test_the_gradient_equals_differences_and_the_unrolled_loop(pairs, rho: float) -> None:
    p, t, mu, nu = (each[:1].clone() for each in pairs)
    p.requires_grad_()
    t.requires_grad_()
    ours = torch.autograd.grad(score((p, t, mu, nu), rho=rho).sum(), (p, t))
    loop = torch.autograd.grad(1 - unrolled(p[0], t[0], mu[0], nu[0], 0.1, rho, 400), (p, t))
    torch.testing.assert_close(ours, loop, atol=1e-6, rtol=1e-6)

    def scores(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return score((p, t, mu, nu), rho=rho, tolerance=1e-11)

    assert torch.autograd.gradcheck(scores, (p, t), fast_mode=True)  # by central differences


def test_the_detached_transport_score_has_another_gradient(pairs) -> None:
    """Why the entropic score is the default: PLOT's sum T (1 - C) ignores how the plan moves."""
    p, t, mu, nu = (each[:1].clone() for each in pairs)
    p.requires_grad_()
    detached = transport_scores(p, t, mu, nu, settings=settings_of(), kind="transport").scores.sum()
    (ours,) = torch.autograd.grad(detached, p)
    step = 1e-6 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        up, down = (
            transport_scores(p + sign * step, t, mu, nu, settings=settings_of(), kind="transport").scores.sum()
            for sign in (1, -1)
        )
    true = float(up - down) / 2
    assert abs(float((ours * step).sum()) - true) > 0.01 * abs(true)


def planted(told: int, noise: float, seed: int, images: int = 32, sentences: int = 4) -> tuple[torch.Tensor, ...]:
    """Each report's sentences are said of `told` of 98 patches of its image each; the other patches say nothing."""
    said, p = unit(images, sentences, 64, seed=seed), unit(images, 98, 64, seed=seed + 1)
    spoken_of = slice(0, told * sentences)
    p[:, spoken_of] = F.normalize(said.repeat_interleave(told, dim=1) + noise * p[:, spoken_of], dim=-1)
    return p.float(), said.float(), uniform(images, 98).float(), uniform(images, sentences).float()


@pytest.mark.parametrize(("told", "noise"), [(1, 1.5), (2, 2.0)])
def test_planted_findings_are_found_more_surely_by_relaxed_transport(told: int, noise: float) -> None:
    """docs/method.md: few of many patches are spoken of, and a hard patch marginal must match the others too."""
    found = {}
    for rho in (BALANCED, 0.1):
        every = (score(planted(told, noise, 10 * seed), rho=rho, tolerance=1e-3) for seed in range(2))
        found[rho] = torch.cat([each.argmax(dim=1) == torch.arange(32) for each in every]).float().mean()
    assert found[0.1] > 0.95
    assert found[BALANCED] < found[0.1] - 0.1


def test_balanced_scores_grow_with_the_number_of_sentences_on_noise() -> None:
    """The bias of docs/method.md: more sentences, more to choose from, whatever they say."""
    p, mu = unit(8, 98, 64, seed=1), uniform(8, 98)
    means = []
    for sentences in (1, 2, 6, 13):
        t = unit(40, sentences, 64, seed=2)
        means.append(float(score((p, t, mu, uniform(40, sentences)), tolerance=1e-4).mean()))
    assert means[0] < means[1] < means[2] < means[3]


def test_under_autocast_transport_keeps_single_precision(pairs) -> None:
    single = tuple(each.float() for each in pairs)
    expected = transport_scores(*single, settings=settings_of(tolerance=1e-4)).scores
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(transport_scores(*single, settings=settings_of(tolerance=1e-4)).scores, expected)


def test_balanced_transport_cannot_see_what_all_images_share_at_a_place() -> None:
    """An offset of each patch's cost moves no plan and every value alike, so no contrast between pairs sees it.

    Training leaves such a pattern in the cosines, which is why heatmaps are read less their mean (docs/decisions/0039).
    """
    cost, mu, nu = 1 - unit(3, 4, 8, seed=1) @ unit(3, 7, 8, seed=0).transpose(1, 2), uniform(3, 7), uniform(3, 4)
    offset = 0.5 * torch.randn(7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    before, after = (solve(each, mu, nu, settings_of()) for each in (cost, cost + offset))
    torch.testing.assert_close(after.plan, before.plan, atol=1e-8, rtol=0)
    torch.testing.assert_close(after.value, before.value + (mu * offset).sum(dim=1), atol=1e-8, rtol=0)
    relaxed = [solve(each, mu, nu, settings_of(rho=0.1)).plan for each in (cost, cost + offset)]
    assert (relaxed[0] - relaxed[1]).abs().max() > 0.01

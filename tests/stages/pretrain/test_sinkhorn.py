"""The solver against POT in float64, a generic convex optimiser, closed forms and the other domain."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import xlogy

from stages.pretrain.sinkhorn import SinkhornSettings, _kernel_domain, _log_domain, solve


def problem(seed: int, sentences: int = 4, patches: int = 7, padded: int = 0):
    """One random pair: cost [1, S, P], mu [1, P], nu [1, S] whose last `padded` sentences are padding."""
    generator = torch.Generator().manual_seed(seed)
    cost = 2 * torch.rand(1, sentences, patches, generator=generator)
    mu = torch.rand(1, patches, generator=generator) + 0.05
    nu = torch.rand(1, sentences, generator=generator) + 0.05
    nu[:, sentences - padded :] = 0
    return cost, mu / mu.sum(), nu / nu.sum()


def exact(epsilon: float = 0.1, rho: float = math.inf) -> SinkhornSettings:
    return SinkhornSettings(epsilon, rho, tolerance=1e-6, max_iterations=20000)


def without_padding(cost, mu, nu):
    keep = nu[0] > 0
    weights = nu[0, keep].double().numpy()
    patches = mu[0].double().numpy()
    return cost[0, keep].double().numpy(), patches / patches.sum(), weights / weights.sum()


@given(seed=st.integers(0, 10**6), padded=st.integers(0, 2), epsilon=st.sampled_from([0.05, 0.1, 0.3]))
@settings(deadline=None, max_examples=25)
def test_balanced_minimum_and_plan_equal_pot(seed: int, padded: int, epsilon: float) -> None:
    cost, mu, nu = problem(seed, padded=padded)
    solved = solve(cost, mu, nu, exact(epsilon))
    dense, patches, sentences = without_padding(cost, mu, nu)
    truth = ot.solve(dense, sentences, patches, reg=epsilon, reg_type="KL", tol=1e-11, max_iter=100000)
    assert float(solved.value) == pytest.approx(float(truth.value), abs=2e-5)
    np.testing.assert_allclose(solved.plan[0, nu[0] > 0].numpy(), truth.plan, atol=2e-5)
    assert float(solved.plan[0, nu[0] == 0].sum()) == 0


@pytest.mark.parametrize("rho", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_relaxed_minimum_equals_a_generic_optimiser(seed: int, rho: float) -> None:
    """min <T,C> + eps KL(T || mu nu^T) + rho KL(T1 || mu) over T with the sentence marginal built in."""
    cost, mu, nu = problem(seed, sentences=3, patches=4)
    dense, patches, sentences = without_padding(cost, mu, nu)

    def objective(logits: np.ndarray) -> float:
        share = np.exp(logits.reshape(3, 4))
        plan = sentences[:, None] * share / share.sum(axis=1, keepdims=True)
        reference = sentences[:, None] * patches
        marginal = plan.sum(axis=0)
        entropy = (xlogy(plan, plan / reference)).sum()
        return (plan * dense).sum() + 0.1 * entropy + rho * xlogy(marginal, marginal / patches).sum()

    truth = minimize(objective, np.zeros(12), method="BFGS", options={"gtol": 1e-9})
    solved = solve(cost, mu, nu, exact(rho=rho))
    assert float(solved.value) == pytest.approx(truth.fun, abs=1e-5)
    plan = solved.plan[0].double().numpy()
    reference = objective(np.log(plan).ravel())
    assert reference == pytest.approx(truth.fun, abs=1e-5)


def test_no_relaxation_has_its_closed_form() -> None:
    cost, mu, nu = problem(3, padded=1)
    solved = solve(cost, mu, nu, exact(rho=0.0))
    truth = -(nu * 0.1 * torch.log((mu.unsqueeze(1) * torch.exp(-cost / 0.1)).sum(dim=2))).sum()
    assert float(solved.value) == pytest.approx(float(truth), abs=1e-6)


def test_relaxation_runs_from_the_closed_form_to_balanced() -> None:
    cost, mu, nu = problem(4)
    values = [float(solve(cost, mu, nu, exact(rho=rho)).value) for rho in (0.0, 0.01, 0.1, 1.0, 100.0, math.inf)]
    assert values == sorted(values)
    assert values[-2] == pytest.approx(values[-1], abs=1e-3)


@given(seed=st.integers(0, 10**6), rho=st.sampled_from([0.1, 1.0, math.inf]))
@settings(deadline=None, max_examples=20)
def test_both_domains_agree(seed: int, rho: float) -> None:
    cost, mu, nu = problem(seed, padded=1)
    kernel, log = (domain(cost.clone(), mu, nu, exact(rho=rho)) for domain in (_kernel_domain, _log_domain))
    torch.testing.assert_close(kernel.plan, log.plan, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(kernel.value, log.value, atol=1e-5, rtol=1e-4)


def test_a_tiny_epsilon_is_solved_in_the_log_domain() -> None:
    cost, mu, nu = problem(5)
    solved = solve(cost, mu, nu, SinkhornSettings(0.005, math.inf, 1e-4, 20000))
    dense, patches, sentences = without_padding(cost, mu, nu)
    assert torch.isfinite(solved.plan).all()
    assert float(solved.value) == pytest.approx(ot.emd2(sentences, patches, dense), abs=0.03)


def test_marginals_mass_and_reported_error() -> None:
    cost, mu, nu = problem(6)
    solved = solve(cost, mu, nu, SinkhornSettings(0.1, math.inf, 1e-2, 500))
    torch.testing.assert_close(solved.plan.sum(dim=2), nu)
    achieved = float((solved.plan.sum(dim=1) - mu).abs().sum())
    assert achieved <= solved.error + 1e-6
    assert solved.error <= 1e-2


def test_a_batch_equals_its_pairs_alone() -> None:
    problems = [problem(seed) for seed in range(5)]
    batch = solve(*(torch.cat(parts) for parts in zip(*problems, strict=True)), exact())
    for row, each in enumerate(problems):
        torch.testing.assert_close(batch.plan[row], solve(*each, exact()).plan[0], atol=1e-5, rtol=1e-3)


def test_the_order_of_patches_and_sentences_does_not_matter() -> None:
    cost, mu, nu = problem(7)
    rows, columns = torch.randperm(4), torch.randperm(7)
    solved = solve(cost, mu, nu, exact())
    moved = solve(cost[:, rows][:, :, columns], mu[:, columns], nu[:, rows], exact())
    torch.testing.assert_close(moved.plan, solved.plan[:, rows][:, :, columns], atol=1e-5, rtol=1e-3)

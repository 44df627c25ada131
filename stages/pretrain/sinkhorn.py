"""Entropic optimal transport between the patches of an image and the sentences of a report, in batches.

    T* = argmin <T, C> + eps KL(T || mu nu^T) + rho KL(T 1 || mu),   T^T 1 = nu

mu (patches) is relaxed with strength rho (infinite: balanced; 0: free), nu (sentences) is a hard constraint. With
f = eps log u and g = eps log v the plan is T_ab = u_a mu_a exp(-C_ab / eps) nu_b v_b, and Sinkhorn's iteration is
u = (1 / K(nu v))^(rho / (rho + eps)), v = 1 / K^T(mu u) (Cuturi 2013; Chizat et al. 2018 for the relaxed side).
Arrays are laid out [pairs, sentences, patches]: the long axis last, so that both products run along memory.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# exp(-80) is still a normal float32; beyond this range of C / eps the kernel would underflow.
_LARGEST_KERNEL_RANGE = 80.0


@dataclass(frozen=True)
class SinkhornSettings:
    epsilon: float  # entropic regularisation, in units of the cost
    rho: float  # strength of the patch marginal; math.inf is balanced
    tolerance: float  # largest L1 change of a patch marginal at which to stop
    max_iterations: int


@dataclass(frozen=True)
class Plans:
    plan: Float[Tensor, "pairs sentences patches"]
    value: Float[Tensor, "pairs"]  # the minimum, by the dual
    error: float  # L1 error of the patch marginal, worst pair
    iterations: int


def solve(
    cost: Float[Tensor, "pairs sentences patches"],
    mu: Float[Tensor, "pairs patches"],
    nu: Float[Tensor, "pairs sentences"],
    settings: SinkhornSettings,
) -> Plans:
    """Plans and minima; sentences with nu = 0 are padding and take no part. No gradient: see transport.py."""
    smallest = cost.amin(dim=(1, 2), keepdim=True)
    shifted = cost - smallest
    if settings.rho == 0:
        plans = _closed_form(shifted, mu, nu, settings.epsilon)
    elif shifted.amax() / settings.epsilon < _LARGEST_KERNEL_RANGE:
        plans = _kernel_domain(shifted, mu, nu, settings)
    else:
        plans = _log_domain(shifted, mu, nu, settings)
    # The plan has mass 1, so subtracting the smallest cost shifted the minimum by just that.
    return Plans(plans.plan, plans.value + smallest.flatten(), plans.error, plans.iterations)


def _closed_form(cost: Tensor, mu: Tensor, nu: Tensor, epsilon: float) -> Plans:
    """rho = 0: every sentence takes its own soft minimum over patches, u = 1."""
    log_kernel = -cost / epsilon + mu.log().unsqueeze(1)
    log_mass = log_kernel.logsumexp(dim=2)  # pairs, sentences
    plan = (log_kernel - log_mass.unsqueeze(2)).exp() * nu.unsqueeze(2)
    return Plans(plan, -epsilon * (nu * log_mass).sum(dim=1), 0.0, 1)


def _kernel_domain(cost: Tensor, mu: Tensor, nu: Tensor, settings: SinkhornSettings) -> Plans:
    kernel = torch.exp(cost / -settings.epsilon)
    exponent = 1.0 if math.isinf(settings.rho) else settings.rho / (settings.rho + settings.epsilon)
    a = mu.clone()  # mu u
    v = 1 / (kernel * a.unsqueeze(1)).sum(dim=2)
    error = math.inf
    iterations = 0
    while error > settings.tolerance and iterations < settings.max_iterations:
        iterations += 1
        reached = (kernel * (nu * v).unsqueeze(2)).sum(dim=1)  # K (nu v): pairs, patches
        u = reached.reciprocal() if exponent == 1 else reached.pow(-exponent)
        updated = mu * u
        error = float(((updated - a).abs() * reached).sum(dim=1).max())
        a = updated
        v = 1 / (kernel * a.unsqueeze(1)).sum(dim=2)
    plan = kernel * a.unsqueeze(1) * (nu * v).unsqueeze(2)
    value = _dual_value((a / mu).log(), v.log(), mu, nu, settings)
    return Plans(plan, value, error, iterations)


def _log_domain(cost: Tensor, mu: Tensor, nu: Tensor, settings: SinkhornSettings) -> Plans:
    """The same iteration on logarithms: slower, and safe for any range of costs."""
    log_kernel = cost / -settings.epsilon
    exponent = 1.0 if math.isinf(settings.rho) else settings.rho / (settings.rho + settings.epsilon)
    log_mu = mu.log()
    padding = nu == 0
    log_nu = nu.masked_fill(padding, 1).log().masked_fill(padding, -math.inf)
    log_u = torch.zeros_like(mu)
    log_v = -(log_kernel + (log_mu + log_u).unsqueeze(1)).logsumexp(dim=2)
    error = math.inf
    iterations = 0
    while error > settings.tolerance and iterations < settings.max_iterations:
        iterations += 1
        log_reached = (log_kernel + (log_nu + log_v).unsqueeze(2)).logsumexp(dim=1)
        updated = -exponent * log_reached
        change = (log_mu + log_reached + updated).exp() - (log_mu + log_reached + log_u).exp()
        error = float(change.abs().sum(dim=1).max())
        log_u = updated
        log_v = -(log_kernel + (log_mu + log_u).unsqueeze(1)).logsumexp(dim=2)
    plan = (log_kernel + (log_mu + log_u).unsqueeze(1) + (log_nu + log_v).unsqueeze(2)).exp()
    return Plans(plan, _dual_value(log_u, log_v, mu, nu, settings), error, iterations)


def _dual_value(log_u: Tensor, log_v: Tensor, mu: Tensor, nu: Tensor, settings: SinkhornSettings) -> Tensor:
    """<nu, g> + rho <mu, 1 - exp(-f / rho)>: at every iterate a lower bound, at the optimum the minimum."""
    f, g = settings.epsilon * log_u, settings.epsilon * log_v
    relaxed = f if math.isinf(settings.rho) else -settings.rho * torch.expm1(-f / settings.rho)
    return (nu * g).sum(dim=1) + (mu * relaxed).sum(dim=1)

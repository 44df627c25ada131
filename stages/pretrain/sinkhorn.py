"""Entropic optimal transport between the patches of an image and the sentences of a report, in batches.

  T* = argmin <T, C> + eps KL(T || mu nu^T) + rho KL(T 1 || mu),   T^T 1 = nu

mu (patches) is relaxed with strength rho (infinite: balanced; 0: free), nu (sentences) is a hard constraint. With f =
eps log u and g = eps log v the plan is T_ab = u_a mu_a exp(-C_ab / eps) nu_b v_b, and Sinkhorn's iteration is u = (1 /
K(nu v))^(rho / (rho + eps)), v = 1 / K^T(mu u) (Cuturi 2013; Chizat et al. 2018 for the relaxed side).

Arrays are laid out [pairs, sentences, patches], with the long axis last, so that both products run along memory.
docs/method.md says what makes it fast.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# exp(-80) is still a normal float32; beyond this range of C / eps the kernel would underflow.
_LARGEST_KERNEL_RANGE = 80.0
_ITERATIONS_THAT_SHOW_THE_RATE = 2
_LARGEST_RELAXATION = 1.8  # 2 would never settle
_BETWEEN_LOOKS = 8  # iterations between two looks at a GPU; the default setting needs 14


@dataclass(frozen=True)
class SinkhornSettings:
    """Parameters of the transport and of its solver."""

    epsilon: float  # entropic regularisation, in units of the cost
    rho: float  # strength of the patch marginal; math.inf is balanced
    tolerance: float  # largest L1 error of a patch marginal at which to stop
    max_iterations: int
    cost_range: float = math.inf  # of which costs are known to be; unknown, it is looked up, which a GPU must wait for


@dataclass(frozen=True)
class Plans:
    """Plans and minima of many pairs."""

    plan: Float[Tensor, "pairs sentences patches"]
    value: Float[Tensor, "pairs"]  # the minimum, by the dual
    error: Float[Tensor, ""]  # L1 error of the patch marginal, worst pair
    iterations: int


def solve(
    cost: Float[Tensor, "pairs sentences patches"],
    mu: Float[Tensor, "pairs patches"],
    nu: Float[Tensor, "pairs sentences"],
    settings: SinkhornSettings,
) -> Plans:
    """Return plans and minima; sentences with nu = 0 are padding and are ignored. No gradient: see transport.py."""
    smallest = cost.amin(dim=(1, 2), keepdim=True)
    shifted = cost - smallest  # a copy that may be overwritten
    if settings.rho == 0:
        plans = _closed_form(shifted, mu, nu, settings.epsilon)
    elif settings.cost_range / settings.epsilon < _LARGEST_KERNEL_RANGE or (
        shifted.amax() / settings.epsilon < _LARGEST_KERNEL_RANGE
    ):
        plans = _kernel_domain(shifted, mu, nu, settings)
    else:
        plans = _log_domain(shifted, mu, nu, settings)
    # The plan has mass 1, so subtracting the smallest cost shifted the minimum by exactly that.
    return Plans(plans.plan, plans.value + smallest.flatten(), plans.error, plans.iterations)


def _closed_form(cost: Tensor, mu: Tensor, nu: Tensor, epsilon: float) -> Plans:
    """Solve rho = 0: every sentence takes its own soft minimum over patches, u = 1."""
    log_kernel = cost.div_(-epsilon).add_(mu.log().unsqueeze(1))
    log_mass = log_kernel.logsumexp(dim=2)  # pairs, sentences
    plan = log_kernel.sub_(log_mass.unsqueeze(2)).exp_().mul_(nu.unsqueeze(2))
    return Plans(plan, -epsilon * (nu * log_mass).sum(dim=1), cost.new_zeros(()), 1)


def _kernel_domain(cost: Tensor, mu: Tensor, nu: Tensor, settings: SinkhornSettings) -> Plans:
    kernel = _Kernel(cost.div_(-settings.epsilon).exp_())
    a = mu.clone()  # mu u
    w = nu / kernel.over_patches(a)  # nu v
    pace = _Pace(settings, mu)
    while True:
        reached = kernel.over_sentences(w)  # K (nu v)
        ideal = _patch_side(reached, mu, settings)
        if pace.stops_at(((ideal - a).abs_() * reached).sum(dim=1)):
            break
        moved = ideal if pace.relaxation is None else ideal.div_(a).pow_(pace.relaxation).mul_(a)
        a = torch.where(pace.active, moved, a)
        w = nu / kernel.over_patches(a)
    plan = kernel.values.mul_(a.unsqueeze(1)).mul_(w.unsqueeze(2))
    present = nu > 0
    log_v = torch.where(present, w / nu.where(present, 1.0), 1.0).log()
    value = _dual_value((a / mu).log(), log_v, mu, nu, settings)
    return Plans(plan, value, pace.errors.amax(), pace.iterations)


class _Kernel:
    """The kernels exp(-C / eps) of many pairs, and their products with a vector per pair.

    On a CPU a product and a sum, in memory that is kept, are faster than batched products. On a GPU they would move
    three times the bytes.
    """

    def __init__(self, values: Float[Tensor, "pairs sentences patches"]) -> None:
        self.values = values
        self._product = torch.empty_like(values) if values.device.type == "cpu" else None

    def over_patches(self, vectors: Float[Tensor, "pairs patches"]) -> Float[Tensor, "pairs sentences"]:
        if self._product is None:
            return torch.bmm(self.values, vectors.unsqueeze(2)).squeeze(2)
        return torch.mul(self.values, vectors.unsqueeze(1), out=self._product).sum(dim=2)

    def over_sentences(self, vectors: Float[Tensor, "pairs sentences"]) -> Float[Tensor, "pairs patches"]:
        if self._product is None:
            return torch.bmm(vectors.unsqueeze(1), self.values).squeeze(1)
        return torch.mul(self.values, vectors.unsqueeze(2), out=self._product).sum(dim=1)


def _patch_side(
    reached: Float[Tensor, "pairs patches"], mu: Float[Tensor, "pairs patches"], settings: SinkhornSettings
) -> Float[Tensor, "pairs patches"]:
    """Return mu u of Sinkhorn's step, u = c (1 / reached)^(rho / (rho + eps)).

    c maximises the dual value over a constant added to f (and subtracted from g, so the plan stays the same). Since nu
    is hard, plain iterations would reduce that constant by a factor of only rho / (rho + eps) each, which is slow where
    rho >> eps (Sejourne et al., AISTATS 2022, for two relaxed sides). In balanced transport c has no effect and is 1.
    """
    if math.isinf(settings.rho):
        return mu / reached
    rest = settings.epsilon / (settings.rho + settings.epsilon)
    share = reached.pow(rest).mul_(mu)  # mu u^(-eps / rho) up to c: the patch marginal that optimality requires
    return (share / reached).mul_(share.sum(dim=1, keepdim=True).pow_(settings.rho / settings.epsilon))


class _Pace:
    """Stopping rule and over-relaxation of the iteration, for each pair by itself.

    A pair that has converged keeps its plan while others go on, so that no result depends on the pairs beside it: not
    on chunks, and not on the number of ranks.

    Two iterations show the rate theta at which the error falls. From then on log u moves by 2 / (1 + sqrt(1 - theta))
    steps at once, the best factor for that rate (Lehmann et al., Optim. Lett. 2022; Thibault et al., Algorithms 2021).

    Whether all pairs have converged is asked after every iteration on a CPU. A GPU would have to finish all work that
    is queued before it can answer, so it is asked seldom; the iterations between change nothing.
    """

    def __init__(self, settings: SinkhornSettings, pairs: Tensor) -> None:
        """Begin; `pairs` is an array of as many rows as there are pairs, on their device."""
        self.settings = settings
        self.iterations = 0
        self.errors = pairs.new_full((len(pairs),), math.inf)
        self.relaxation: Float[Tensor, "pairs 1"] | None = None
        self.active = pairs.new_ones((len(pairs), 1), dtype=torch.bool)
        self._between_looks = _between_looks(pairs.device)

    def stops_at(self, errors: Float[Tensor, "pairs"]) -> bool:
        """Return whether the errors, those of the present plans, are small enough; else count the next iteration."""
        before, self.errors = self.errors, errors
        self.active = (errors > self.settings.tolerance).unsqueeze(1)
        if self.iterations == self.settings.max_iterations:
            return True
        looks = self.iterations % self._between_looks == 0 and (self.iterations or self._between_looks == 1)
        if looks and not bool(self.active.any()):
            return True
        if self.iterations == _ITERATIONS_THAT_SHOW_THE_RATE:
            rate = (errors / before).clamp_(max=1.0)
            self.relaxation = (2 / (1 + (1 - rate).sqrt_())).clamp_(max=_LARGEST_RELAXATION).unsqueeze(1)
        self.iterations += 1
        return False


def _between_looks(device: torch.device) -> int:
    return 1 if device.type == "cpu" else _BETWEEN_LOOKS


def _log_domain(cost: Tensor, mu: Tensor, nu: Tensor, settings: SinkhornSettings) -> Plans:
    """Solve by the same iteration on logarithms: slower, and safe for any range of costs."""
    log_kernel = cost.div_(-settings.epsilon)
    log_mu = mu.log()
    padding = nu == 0
    log_nu = nu.masked_fill(padding, 1).log().masked_fill(padding, -math.inf)
    log_a = log_mu
    log_w = log_nu - (log_kernel + log_a.unsqueeze(1)).logsumexp(dim=2)
    pace = _Pace(settings, mu)
    while True:
        log_reached = (log_kernel + log_w.unsqueeze(2)).logsumexp(dim=1)
        ideal = _log_patch_side(log_reached, log_mu, settings)
        if pace.stops_at(((ideal + log_reached).exp() - (log_a + log_reached).exp()).abs().sum(dim=1)):
            break
        moved = ideal if pace.relaxation is None else log_a + pace.relaxation * (ideal - log_a)
        log_a = torch.where(pace.active, moved, log_a)
        log_w = log_nu - (log_kernel + log_a.unsqueeze(1)).logsumexp(dim=2)
    plan = (log_kernel + log_a.unsqueeze(1) + log_w.unsqueeze(2)).exp()
    log_v = torch.where(padding, 0, log_w - log_nu)
    value = _dual_value(log_a - log_mu, log_v, mu, nu, settings)
    return Plans(plan, value, pace.errors.amax(), pace.iterations)


def _log_patch_side(log_reached: Tensor, log_mu: Tensor, settings: SinkhornSettings) -> Tensor:
    """Return the logarithm of `_patch_side`."""
    if math.isinf(settings.rho):
        return log_mu - log_reached
    rest = settings.epsilon / (settings.rho + settings.epsilon)
    log_share = log_mu + rest * log_reached
    return log_share - log_reached + settings.rho / settings.epsilon * log_share.logsumexp(dim=1, keepdim=True)


def _dual_value(log_u: Tensor, log_v: Tensor, mu: Tensor, nu: Tensor, settings: SinkhornSettings) -> Tensor:
    """Return <nu, g> + rho <mu, 1 - exp(-f / rho)>: at every iterate a lower bound, at the optimum the minimum."""
    f, g = settings.epsilon * log_u, settings.epsilon * log_v
    relaxed = f if math.isinf(settings.rho) else -settings.rho * torch.expm1(-f / settings.rho)
    return (nu * g).sum(dim=1) + (mu * relaxed).sum(dim=1)

"""POT (Python Optimal Transport; Flamary et al., JMLR 2021) as the reference of the transport.

It can be the solver of a training (`local.solver: pot`), or one drawn pair of a training is compared with it.
`ot.solve` with `reg_type="KL"` and `unbalanced=(inf, rho)` on [sentences, patches] minimises the objective of
sinkhorn.py: the sentence marginal is hard, the patch marginal has strength rho; without `unbalanced` both are hard (rho
= inf).

Bounds of a comparison. Let T* be the optimum with minimum D*, T and D the plan and the dual value that our solver
returned, tau its tolerance, R the range of the pair's costs.

1. D is concave in f, and the marginal error bounds its gradient, so D* - D <= max|f* - f| tau <= R tau.
2. D* - D >= eps KL(T* || T), with equality for balanced transport. By Pinsker's inequality the L1 distance of the plans
is at most sqrt(2 (D* - D) / eps).

Rounding in single precision and POT's own marginal error are added to both bounds. rho = 0 has a closed form, and its
tau is 0. A difference is reported in units of its bound: above 1, one of the two solvers is wrong.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .sinkhorn import Plans, SinkhornSettings

_TOLERANCE = 1e-7  # of POT: marginal error (balanced), change of the potentials (relaxed)
_MAX_ITERATIONS = 1000
_ROUNDING = 4e-6  # of a minimum in single precision; costs are at most 2


def solve_by_pot(
    cost: Float[Tensor, "pairs sentences patches"],
    mu: Float[Tensor, "pairs patches"],
    nu: Float[Tensor, "pairs sentences"],
    settings: SinkhornSettings,
) -> Plans:
    """Solve each pair separately in double precision; `settings.tolerance` and `.max_iterations` have no effect.

    Sentences with nu = 0 are padding and are removed first, because POT would give them mass. `iterations` is 0,
    because POT does not return them.
    """
    plans, minima, error = torch.zeros_like(cost), cost.new_empty(len(cost)), 0.0
    arrays = (each.detach().double().cpu().numpy() for each in (cost, mu, nu))
    for pair, (pair_cost, patches, sentences) in enumerate(zip(*arrays, strict=True)):
        present = sentences > 0
        plan, minima[pair], missed = _solve_pair(pair_cost[present], patches, sentences[present], settings)
        plans[pair, torch.from_numpy(present).to(cost.device)] = torch.from_numpy(plan).to(cost)
        error = max(error, missed)
    return Plans(plans, minima, cost.new_tensor(error), 0)


def _solve_pair(
    cost: Float[np.ndarray, "sentences patches"],
    mu: Float[np.ndarray, "patches"],
    nu: Float[np.ndarray, "sentences"],
    settings: SinkhornSettings,
) -> tuple[Float[np.ndarray, "sentences patches"], float, float]:
    """Return plan, minimum, and the L1 error of the marginals that are constraints."""
    import ot  # about a second, and no other part of a training needs it

    mu, nu = mu / mu.sum(), nu / nu.sum()  # marginals of single precision do not have equal sums
    tolerance, iterations, relaxed = _TOLERANCE, _MAX_ITERATIONS, {}
    if math.isfinite(settings.rho):
        # Plain iterations lose a constant of the potentials by a factor of rho / (rho + eps) per iteration.
        slowness = 1 + settings.rho / settings.epsilon
        tolerance, iterations = tolerance / slowness, math.ceil(iterations * slowness)
        relaxed = {"unbalanced": (math.inf, settings.rho)}
    smallest = cost.min()  # the plan has mass 1; without it the kernel may underflow
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that POT has not converged, which the error shows
        solved = ot.solve(
            cost - smallest, nu, mu, reg=settings.epsilon, reg_type="KL", tol=tolerance, max_iter=iterations, **relaxed
        )
    plan = solved.plan
    error = np.abs(plan.sum(axis=1) - nu).sum()
    if not relaxed:
        error += np.abs(plan.sum(axis=0) - mu).sum()
    return plan, float(solved.value) + smallest, float(error)


@dataclass(frozen=True)
class Difference:
    """Difference of one pair from POT. `Comparison` sends the fields from rank to rank in this order."""

    minimum: float  # |difference| of the minima, units of the cost
    plan: float  # L1 distance of the plans, 0..2
    in_bounds: float  # the larger of both, each divided by its bound; above 1 is wrong


def difference_from_pot(
    patches: Float[Tensor, "visible embedding"],
    sentences: Float[Tensor, "sentences embedding"],
    mu: Float[Tensor, "visible"],
    nu: Float[Tensor, "sentences"],
    plan: Float[Tensor, "sentences visible"],
    minimum: Float[Tensor, ""],
    settings: SinkhornSettings,
) -> Difference:
    """Compare `plan` and `minimum`, solved with `settings`, with POT's from the same embeddings in double precision."""
    given = (patches, sentences, mu, nu, plan, minimum)
    read = torch.cat([each.detach().double().flatten() for each in given]).cpu()  # one wait for the device
    parts = read.split([each.numel() for each in given])
    patches, sentences, mu, nu, plan, minimum = (part.view(each.shape) for part, each in zip(parts, given, strict=True))
    cost = 1 - sentences @ patches.T
    exact = solve_by_pot(cost.unsqueeze(0), mu.unsqueeze(0), nu.unsqueeze(0), settings)
    of_minimum = float((exact.value[0] - minimum).abs())
    of_plan = float((exact.plan[0] - plan).abs().sum())
    present = cost[nu > 0]
    missed = float(exact.error)
    tolerance = (settings.tolerance if settings.rho else 0.0) + missed
    bound_of_minimum = tolerance * float(present.max() - present.min()) + _ROUNDING
    bound_of_plan = math.sqrt(2 * (of_minimum + _ROUNDING) / settings.epsilon) + missed
    return Difference(of_minimum, of_plan, max(of_minimum / bound_of_minimum, of_plan / bound_of_plan))

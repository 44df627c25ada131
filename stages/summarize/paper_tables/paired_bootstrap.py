"""Is one variant better than another on the same test images? Paired bootstrap, Holm's correction over all pairs.

A draw resamples patients (images where patients are unknown), the same ones for every variant, so that what two
variants share (hard images, many images of one patient) cancels out of their difference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

from ...common.metrics.ranking import Estimate, Metric, values_of_draws

LEVEL = 0.05  # of all comparisons of one column together


@dataclass(frozen=True)
class Drawn:
    """One variant's figure: with every image once, and over the draws (NaN where a draw defines none)."""

    value: float
    draws: Float[np.ndarray, "draws"]


@dataclass(frozen=True)
class Comparison:
    """first - second, with its 95 % interval; p is two-sided, `adjusted` is Holm's over all pairs compared."""

    first: str
    second: str
    difference: Estimate
    p: float
    adjusted: float

    def reversed(self) -> "Comparison":
        own = self.difference
        return Comparison(self.second, self.first, Estimate(-own.value, -own.high, -own.low), self.p, self.adjusted)

    @property
    def decided(self) -> bool:
        return self.adjusted < LEVEL


def drawn(metric: Metric, weights: Float[np.ndarray, "draws images"]) -> Drawn:
    return Drawn(float(metric(np.ones((1, weights.shape[1])))[0]), values_of_draws(metric, weights))


def compare_all(variants: Mapping[str, Drawn]) -> list[Comparison]:
    """Every pair, in the order of `variants`; the draws of all must be of the same weights."""
    pairs = list(combinations(variants, 2))
    differences = [variants[one].draws - variants[other].draws for one, other in pairs]
    values = [two_sided(each) for each in differences]
    found = []
    for (one, other), difference, p, adjusted in zip(pairs, differences, values, holm(values), strict=True):
        low, high = np.nanpercentile(difference, [2.5, 97.5])
        estimate = Estimate(variants[one].value - variants[other].value, float(low), float(high))
        found.append(Comparison(one, other, estimate, p, adjusted))
    return found


def two_sided(differences: Float[np.ndarray, "draws"]) -> float:
    """Twice the smaller share of draws on one side of 0, a draw of exactly 0 on both; one is added, so never 0."""
    known = differences[~np.isnan(differences)]
    fewer = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (1 + len(known)))


def holm(values: list[float]) -> list[float]:
    """Holm (Scand. J. Statist. 6:65, 1979): the k-th smallest of m times m - k + 1, made monotone, at most 1."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, values[place] * (len(values) - rank)))
        adjusted[place] = largest
    return adjusted


def decided_best(
    variants: Mapping[str, Drawn], comparisons: list[Comparison], smaller_is_better: bool = False
) -> str | None:
    """The variant with the best figure if it is better than every other one by the test, else None."""
    if len(variants) < 2:
        return None
    choose = min if smaller_is_better else max
    best = choose(variants, key=lambda name: variants[name].value)
    own = [each for each in comparisons if best in (each.first, each.second)]
    return best if all(each.decided for each in own) else None

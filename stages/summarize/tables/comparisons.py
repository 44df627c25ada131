"""Is one variant better than another on the same test images? Paired bootstrap, Holm's correction over all pairs.

A draw resamples patients (images where patients are unknown), the same ones for every variant, so that what two
variants share (hard images, many images of one patient) cancels out of their difference. Of variants with several
seeds it weighs these, too (seeds.py).
"""

import csv
import io
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ...common.errors import InputError
from ...common.files.atomic_files import write_text
from ...common.metrics.ranking import Metric, draw_weights, estimate_of, values_of_draws
from ...common.records import FEWEST_PATIENTS, Estimate
from ..inputs import Inputs
from .image_values import Repeated
from .seeds import seed_weights, seeds_too_few, too_few_seeds

LEVEL = 0.05  # of all comparisons of one column together
_COLUMNS = ("table", "measure", "first", "second", "difference", "low", "high", "p", "p_holm")


@dataclass(frozen=True)
class Drawn:
    """One variant's figure: with every image once, and over the draws (NaN where a draw defines none)."""

    value: float
    draws: Float[np.ndarray, "draws"]


@dataclass(frozen=True)
class Comparison:
    """first - second, with its 95 % interval; p is two-sided, `adjusted` is Holm's over all pairs compared.

    `units` is the number of patients that are resampled, or of images where patients are unknown.
    """

    first: str
    second: str
    difference: Estimate
    p: float
    adjusted: float
    units: int

    def reversed(self) -> "Comparison":
        """Return second - first."""
        own = self.difference
        difference = Estimate(value=-own.value, low=-own.high, high=-own.low)
        return replace(self, first=self.second, second=self.first, difference=difference)

    @property
    def of_few(self) -> bool:
        """Return whether patients are too few for any word on the difference."""
        return self.units < FEWEST_PATIENTS

    @property
    def decided(self) -> bool:
        """Return whether the difference is significant at LEVEL, on enough patients for such a word."""
        return not self.of_few and self.adjusted < LEVEL


def drawn(metric: Metric, weights: Float[np.ndarray, "draws images"]) -> Drawn:
    """Return a metric with equal weights and over the draws."""
    return Drawn(float(metric(np.ones((1, weights.shape[1])))[0]), values_of_draws(metric, weights))


def compare_all(variants: Mapping[str, Drawn], units: int) -> list[Comparison]:
    """Compare every pair, in the order of `variants`; the draws of all must be of the same weights of `units`."""
    return compare_families({"": variants}, units)[""]


def compare_families(families: Mapping[str, Mapping[str, Drawn]], units: int) -> dict[str, list[Comparison]]:
    """Compare every pair within each family (e.g. a finding), with Holm's correction over the pairs of all together."""
    pairs = [(name, *pair) for name, variants in families.items() for pair in combinations(variants, 2)]
    differences = [families[name][one].draws - families[name][other].draws for name, one, other in pairs]
    values = [two_sided(each) for each in differences]
    found: dict[str, list[Comparison]] = {name: [] for name in families}
    for (name, one, other), difference, p, adjusted in zip(pairs, differences, values, holm(values), strict=True):
        low, high = np.nanpercentile(difference, [2.5, 97.5])
        difference = families[name][one].value - families[name][other].value
        estimate = Estimate(value=difference, low=float(low), high=float(high))
        found[name].append(Comparison(one, other, estimate, p, adjusted, units))
    return found


def two_sided(differences: Float[np.ndarray, "draws"]) -> float:
    """Return twice the smaller share of draws on one side of 0; a draw of exactly 0 counts on both.

    One is added, so the result is never 0.
    """
    known = differences[~np.isnan(differences)]
    fewer = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (1 + len(known)))


def holm(values: list[float]) -> list[float]:
    """Return p-values adjusted by Holm (Scand. J. Statist. 6:65, 1979).

    The k-th smallest of m is multiplied by m - k + 1; the results are made monotone and at most 1.
    """
    order = sorted(range(len(values)), key=lambda place: values[place])
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, values[place] * (len(values) - rank)))
        adjusted[place] = largest
    return adjusted


def decided_best(
    variants: Mapping[str, Drawn], comparisons: list[Comparison], smaller_is_better: bool = False
) -> str | None:
    """Return the variant with the best figure if it is better than every other one by the test, else None."""
    if len(variants) < 2:
        return None
    choose = min if smaller_is_better else max
    best = choose(variants, key=lambda name: variants[name].value)
    own = [each for each in comparisons if best in (each.first, each.second)]
    return best if all(each.decided for each in own) else None


def _units(families: Mapping[str, Mapping[str, Repeated]]) -> int:
    """Return the number of patients that are resampled: rows of a family have the same images."""
    firsts = (next(iter(rows.values())).values[0] for rows in families.values() if rows)
    return min((len(np.unique(each.groups)) for each in firsts), default=0)


@dataclass
class Comparisons:
    """Collects what it is asked to compare, so that the tables and comparisons.csv say the same."""

    draws: int
    seed: int
    found: dict[tuple[str, str], list[Comparison]] = field(default_factory=dict)  # by table and measure
    _means: dict[tuple[str, str, str], Estimate] = field(default_factory=dict)  # of several seeds; also by variant
    _weights: dict[tuple[str, ...], Float[np.ndarray, "draws images"]] = field(default_factory=dict)

    def best(
        self,
        table: str,
        measure: str,
        variants: Mapping[str, Repeated],
        metric: str,
        smaller_is_better: bool = False,
    ) -> str | None:
        """Compare all `variants` and return the one that is better than every other by the test, or None.

        None, too, where seeds or patients are too few to tell variants apart.
        """
        return self.best_of_each(table, {measure: variants}, metric, smaller_is_better)[measure]

    def best_of_each(
        self,
        table: str,
        families: Mapping[str, Mapping[str, Repeated]],
        metric: str,
        smaller_is_better: bool = False,
    ) -> dict[str, str | None]:
        """Return for each family (e.g. a finding) what `best` returns, with Holm's correction over all of them."""
        values = {name: self._drawn(variants, metric) for name, variants in families.items()}
        compared, best = compare_families(values, _units(families)), {}
        for name, variants in families.items():
            self.found[table, name] = compared[name]
            for variant, own in values[name].items():
                if len(variants[variant].values) > 1:
                    self._means[table, name, variant] = estimate_of(own.value, own.draws)
            few = too_few_seeds(len(each.seeds) for each in variants.values() if each.trained)
            best[name] = None if few else decided_best(values[name], compared[name], smaller_is_better)
        return best

    def why_no_bold(self, inputs: Inputs, tables: Collection[str], variants: Iterable[str]) -> list[str]:
        """Return why no figure of what was compared in `tables` is bold; empty where some may be."""
        compared = [each for (table, _), found in self.found.items() for each in found if table in tables]
        few = None
        if compared and all(each.of_few for each in compared):
            few = (
                f"No bold: {max(each.units for each in compared)} patients or images are resampled, and fewer than "
                f"{FEWEST_PATIENTS} cannot tell variants apart; the p of each pair in comparisons.csv is about these "
                "alone."
            )
        return [why for why in (few, seeds_too_few(inputs, variants)) if why is not None]

    def over_seeds(self, table: str, measure: str, variant: str) -> Estimate | None:
        """Return the mean of a variant's seeds in a compared column, with its interval; None for a single training."""
        return self._means.get((table, measure, variant))

    def mean_over_seeds(self, row: Repeated, metric: str) -> Estimate | None:
        """Return what `over_seeds` does, of a row of no compared column."""
        if len(row.values) == 1:
            return None
        own = self._drawn({"": row}, metric)[""]
        return estimate_of(own.value, own.draws)

    def _drawn(self, variants: Mapping[str, Repeated], metric: str) -> dict[str, Drawn]:
        every = [values for each in variants.values() for values in each.values]
        for each in every:
            if each.images != every[0].images:
                raise InputError(
                    f"{each.source}: other test images than {every[0].source}", "run the stage again for both"
                )
        key = tuple(every[0].groups.tolist())
        if key not in self._weights:
            self._weights = {key: draw_weights(every[0].groups, self.draws, self.seed)}  # one at a time: they are large
        found = {}
        for name, row in variants.items():
            runs = [drawn(values.metrics[metric], self._weights[key]) for values in row.values]
            weights = seed_weights(row.seeds, self.draws, self.seed)
            draws = np.sum(weights * np.stack([run.draws for run in runs], axis=1), axis=1)
            found[name] = Drawn(float(np.mean([run.value for run in runs])), draws)
        return found

    def against(self, table: str, measure: str, first: str, second: str) -> Comparison:
        """Return first - second. Raises KeyError where they were not compared."""
        for each in self.found[table, measure]:
            if (each.first, each.second) == (first, second):
                return each
            if (each.first, each.second) == (second, first):
                return each.reversed()
        raise KeyError((table, measure, first, second))

    def from_one(self, table: str, measure: str, one: str) -> dict[str, Comparison]:
        """Return every other one minus `one`; empty where the column was not compared."""
        pairs = [(each.first, each.second) for each in self.found.get((table, measure), [])]
        others = [first if second == one else second for first, second in pairs if one in (first, second)]
        return {other: self.against(table, measure, other, one) for other in others}

    def write(self, path: Path) -> Path:
        """Write all comparisons as CSV and return the path."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for (table, measure), comparisons in self.found.items():
            for each in comparisons:
                figures = (each.difference.value, each.difference.low, each.difference.high, each.p, each.adjusted)
                writer.writerow([table, measure, each.first, each.second, *map(repr, figures)])
        write_text(path, buffer.getvalue())
        return path

r"""Several trainings of a variant, one per seed: their mean, their spread, and draws of seeds and patients together.

A variant has k seeds. On the patients of one draw, the same for all seeds and all variants, they reach m_1 .. m_k, and
the draw is the sum of w_s m_s, with random weights w_s that sum to 1. Counts of seeds drawn with replacement would be
such weights, but of three seeds the mean of a draw never leaves their range: two equal variants, whose three paired
differences have one sign in a quarter of all cases, would be told apart that often. Here the weights are

    w_s = 1/k + (z_s - mean of z) / sqrt(k c),    z_s ~ N(0, 1),    c ~ chi-squared of k - 1 degrees of freedom.

With m their mean and s their standard deviation, the sum of z_s (m_s - m) is s sqrt(k - 1) times a normal deviate, so
that a draw is m + t s / sqrt(k) with Student's t of k - 1 degrees of freedom: without any effect of patients the 95 %
interval is that of a t test, and where all seeds agree it is the bootstrap over patients alone. A difference of two
variants is drawn with the same weights where their seeds are the same (a paired t test), else with independent ones.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Float

from ...common.records import Estimate
from ..inputs import Inputs
from ..numbers import decimal
from .table import Cell, cell_of

FEWEST_SEEDS = 3  # of each variant trained here, for a bold figure: of two, the t interval is 18 spreads wide
NOTE = (
    "Of a variant with several seeds a figure is the mean over its trainings, after \u00b1 their standard deviation. "
    "Brackets are over seeds and patients together: Student's t over the seeds, a bootstrap over patients; "
    "few seeds say little, and brackets may then leave the range of a figure. A mean without brackets has none, since "
    "the values behind it are not stored one by one."
)


def seed_weights(seeds: Sequence[int | None], draws: int, seed: int) -> Float[np.ndarray, "draws seeds"]:
    """Return the weights of a variant's seeds in each draw; rows sum to 1, and equal lists have equal weights."""
    count = len(seeds)
    if count == 1:
        return np.ones((draws, 1))
    generator = np.random.default_rng([count, *(each or 0 for each in seeds), seed])
    normal, squares = generator.standard_normal((draws, count)), generator.chisquare(count - 1, (draws, 1))
    return 1 / count + (normal - normal.mean(axis=1, keepdims=True)) / np.sqrt(count * squares)


def seeds_cell(
    figures: Sequence[Estimate],
    over_seeds: Estimate | None = None,
    bold: bool = False,
    form: Callable[[float], str] = decimal,
) -> Cell:
    """Return the figures of a variant's replicates as one: of a single one as the stage wrote it, else their mean.

    `over_seeds` holds the interval of the mean; None: the cell has none, unless all figures are equal.
    """
    first = figures[0]
    if all((each.value, each.low, each.high) == (first.value, first.low, first.high) for each in figures):
        return cell_of(first, bold, getattr(first, "spread", None), form)
    mean, spread = mean_and_spread([each.value for each in figures])
    low, high = (over_seeds.low, over_seeds.high) if over_seeds else (None, None)
    return Cell(mean, low, high, spread, bold, form)


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the standard deviation of the replicates; that of a single one is None."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def too_few_seeds(trainings: Iterable[int]) -> bool:
    """Return whether differences may come from seeds, given the number of trainings of each variant trained here.

    A single trained variant beside untrained ones makes a statement about its training, which needs no other seed.
    """
    counts = list(trainings)
    return len(counts) > 1 and min(counts) < FEWEST_SEEDS


def seeds_too_few(inputs: Inputs, variants: Iterable[str]) -> str | None:
    """Return why seeds allow no bold figure in a table that compares these variants, or None where they do."""
    counts = {each: len(inputs.tree.replicates_of(each)) for each in variants if inputs.trained(each)}
    if not too_few_seeds(counts.values()):
        return None
    several = f"fewer than {FEWEST_SEEDS} trainings of some variants"
    found = "one training per variant" if set(counts.values()) == {1} else several
    listed = ", ".join(f"{variant} {count}" for variant, count in counts.items())
    told = f" ({listed})" if found is several else ""
    return (
        f"No bold: {found} cannot tell a setting from a seed{told}; list {FEWEST_SEEDS} `seeds` or more. The p of each "
        "pair in comparisons.csv is about these trainings."
    )


def seeds_note(inputs: Inputs) -> tuple[str, ...]:
    """Return what explains figures of several seeds; empty where no variant has any."""
    return (NOTE,) if any(len(each) > 1 for each in inputs.tree.seeds.values()) else ()


def median_note(inputs: Inputs) -> str | None:
    """Return which training of a variant with several seeds is drawn, or None where no variant has any."""
    if not seeds_note(inputs):
        return None
    medians = [each for variant in inputs.tree.variants if (each := inputs.median(variant)).seed is not None]
    shown = ", ".join(f"{each.variant} seed {each.seed}" for each in medians)
    return f"Curves and pictures are of one training per variant, the median by its score on validation: {shown}."

"""The range of the bars that stand beside intervals in a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..readers.record import Estimate


@dataclass(frozen=True)
class Axis:
    """The range of the bars in a table."""

    low: float
    high: float
    reference: float | None = None

    def place(self, value: float) -> float:
        """0 at the left end, 100 at the right end."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)


def axis_of(estimates: Sequence[Estimate | None], reference: float | None = None) -> Axis:
    """From a round tenth below everything to one above, the reference inside."""
    known = [each for each in estimates if each is not None]
    lows, highs = [each.low for each in known], [each.high for each in known]
    if reference is not None:
        lows, highs = [*lows, reference], [*highs, reference]
    low, high = int(min(lows) * 10) / 10, min(1.0, -int(-max(highs) * 10 - 0.999) / 10)
    return Axis(low, high if high > low else low + 0.1, reference)

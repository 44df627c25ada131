"""Common parts of the page's sections: the report that they read, and the definition of a section."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Any

from ...common.records import Estimate
from ..contract import SummarizeSettings
from ..drawing import Style, variant_styles
from ..inputs import Inputs
from ..ledger import Ledger
from ..naming import variant_label
from ..provenance import Provenance
from ..tables.comparisons import Comparisons
from ..tables.quoted import Quotation, shown

Names = dict[str, Any]  # names used by a template


@dataclass(frozen=True)
class Report:
    """All data from which the page is made."""

    settings: SummarizeSettings
    inputs: Inputs
    ledger: Ledger
    provenance: Provenance
    comparisons: Comparisons  # of all tables: what any section may call better than what
    quotations: list[Quotation]  # figures of others
    digests: dict[str, str]  # of the summary itself

    @cached_property
    def quoted(self) -> list[Quotation]:
        """Return the figures of others that stand in the tables of this run."""
        return shown(self.quotations, self.inputs.tree, self.provenance.synthetic)

    @cached_property
    def styles(self) -> dict[str, Style]:
        """Return the style in which each variant is drawn."""
        return variant_styles(self.inputs.training)

    @cached_property
    def labels(self) -> dict[str, str]:
        """Return the label of each variant."""
        return {variant: variant_label(self.inputs, variant) for variant in self.inputs.tree.variants}


@dataclass(frozen=True)
class Section:
    """A part of the page. `names` fills templates/<template>.html.jinja; None where the run has nothing for it."""

    template: str
    link: str  # in the table of contents
    heading: str
    names: Callable[[Report], Names | None]

    @property
    def anchor(self) -> str:
        """Return the section's anchor on the page."""
        return self.template.replace("_", "-")


def runs_of(rows: Sequence[Any], attribute: str) -> list[list[Any]]:
    """Group neighbouring rows of equal `attribute`, in their order (Jinja's own groupby sorts)."""
    return [list(group) for _, group in groupby(rows, key=attrgetter(attribute))]


@dataclass(frozen=True)
class Axis:
    """Range of the bars in a table."""

    low: float
    high: float
    reference: float | None = None

    def place(self, value: float) -> float:
        """Return the position of a value: 0 at the left end, 100 at the right end."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)


def axis_of(estimates: Sequence[Estimate | None], reference: float | None = None) -> Axis:
    """Return the axis from a round tenth below all intervals to one above, the reference included."""
    known = [each for each in estimates if each is not None]
    lows, highs = [each.low for each in known], [each.high for each in known]
    if reference is not None:
        lows, highs = [*lows, reference], [*highs, reference]
    low, high = int(min(lows) * 10) / 10, min(1.0, -int(-max(highs) * 10 - 0.999) / 10)
    return Axis(low, high if high > low else low + 0.1, reference)

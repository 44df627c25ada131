"""What every part of the page is made from, and what a part is."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Any

from ..contract import SummarizeSettings
from ..drawing import Style, variant_styles
from ..inputs import Inputs
from ..ledger import Ledger
from ..naming import replicate_label, variant_label
from ..provenance import Provenance
from ..tables.ablation import Ablation
from ..tables.checklist_answers import Answered, Facts, answered
from ..tables.quoted import Quotation, shown
from ..tables.table import Table, Task, legend_of

Names = dict[str, Any]  # what a template uses


@dataclass(frozen=True)
class Report:
    """All that the page is made from."""

    settings: SummarizeSettings
    inputs: Inputs
    ledger: Ledger
    provenance: Provenance
    tables: list[Table]  # Tables 1 to 4, retrieval, pointing
    headlines: list[Ablation]  # the figures of Table 4, of a single variant, too
    quotations: list[Quotation]  # figures of others
    digests: dict[str, str]  # of the summary itself

    @cached_property
    def checklists(self) -> dict[str, list[Answered]]:
        """Return the reporting checklists with what this run answers."""
        return answered(Facts(self.inputs, self.provenance, self.ledger))

    def tables_of(self, task: Task) -> list[Table]:
        """Return the tables of one task, in their order."""
        return [table for table in self.tables if table.task == task]

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

    @cached_property
    def shown_labels(self) -> dict[str, str]:
        """Return the label of each variant beside curves and pictures, which are of one training."""
        medians = {variant: self.inputs.median(variant) for variant in self.inputs.tree.variants}
        return {variant: replicate_label(self.inputs, median) for variant, median in medians.items()}


@dataclass(frozen=True)
class Chapter:
    """A part of the page that folds: sections, under a heading and a line that says what is in them."""

    heading: str
    about: str

    @property
    def anchor(self) -> str:
        """Return the chapter's anchor on the page, where no section's has the first word."""
        return f"chapter-{self.heading.split()[0].lower()}"


@dataclass(frozen=True)
class Section:
    """A part of the page: `names` fills templates/<template>.html.jinja; None where the run has nothing for it."""

    template: str
    link: str  # in the table of contents
    heading: str
    names: Callable[[Report], Names | None]
    chapter: Chapter

    @property
    def anchor(self) -> str:
        """Return the section's anchor on the page."""
        return self.template.replace("_", "-")


def shared_legend(sections: Iterable[Names]) -> list[str]:
    """Return the sentences that explain tables of several sections: a page shows them once, above all of these."""
    found = Counter(line for names in sections for line in legend_of(tables_in(names)))
    return [line for line, times in found.items() if times > 1]


def without_legend(names: Names, lines: Collection[str]) -> Names:
    """Return the names with tables that lack these sentences, which stand elsewhere."""

    def cut(value: object) -> object:
        if isinstance(value, list):
            return [cut(each) for each in value]
        if isinstance(value, Table):
            return replace(value, legend=tuple(line for line in value.legend if line not in lines))
        return value

    return {name: cut(value) for name, value in names.items()}


def tables_in(names: Names) -> list[Table]:
    """Return the tables among the names of a section."""
    values = [value if isinstance(value, list) else [value] for value in names.values()]
    return [each for value in values for each in value if isinstance(each, Table)]


def runs_of(rows: Sequence[Any], attribute: str) -> list[list[Any]]:
    """Group neighbouring rows of equal `attribute`, in their order (Jinja's own groupby sorts)."""
    return [list(group) for _, group in groupby(rows, key=attrgetter(attribute))]

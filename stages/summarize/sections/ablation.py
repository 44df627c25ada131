"""Table 4: every task of every variant, and how far it is from the first variant."""

from ..paper_tables.ablation import ablations
from .section import Names, Report


def names(report: Report) -> Names | None:
    found = ablations(report.inputs, report.comparisons)
    return {"ablations": found} if found else None

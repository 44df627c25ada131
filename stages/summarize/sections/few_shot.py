"""Table 2."""

from ..protocols import pooling_note
from ..tables import few_shot_tables
from .section import Names, Report


def names(report: Report) -> Names | None:
    tables = few_shot_tables(report.inputs)
    if not tables:
        return None
    return {"few_shot": tables, "best": report.comparisons.is_best, "pooling": pooling_note(report.inputs.pooling)}

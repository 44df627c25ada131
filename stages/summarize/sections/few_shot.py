"""Table 2."""

from stages.summarize.protocols import pooling_note
from stages.summarize.sections.section import Names, Report
from stages.summarize.tables import few_shot_tables


def names(report: Report) -> Names | None:
    tables = few_shot_tables(report.inputs)
    if not tables:
        return None
    return {"few_shot": tables, "best": report.comparisons.is_best, "pooling": pooling_note(report.inputs.pooling)}

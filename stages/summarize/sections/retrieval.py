"""Retrieval between images and reports."""

from stages.summarize.sections.section import Names, Report


def names(report: Report) -> Names:
    return {"retrieval": report.inputs.retrieval, "best": report.comparisons.is_best}

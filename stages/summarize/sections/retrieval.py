"""Retrieval between images and reports."""

from .section import Names, Report


def names(report: Report) -> Names:
    return {"retrieval": report.inputs.retrieval, "best": report.comparisons.is_best}

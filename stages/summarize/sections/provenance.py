"""Every run behind the page."""

from stages.summarize.sections.section import Names, Report


def names(report: Report) -> Names:
    return {"runs": report.provenance.runs}

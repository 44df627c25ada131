"""Reporting checklists with what this run answers by itself."""

from ..tables.checklist_answers import OURS, SOURCES, answered
from .report import Names, Report


def checklist_names(report: Report) -> Names:
    """Return the names for the checklists."""
    found = answered(report.inputs, report.provenance, report.ledger)
    return {"checklists": found, "sources": SOURCES, "ours": OURS}

"""Counts of what came in, the audit of the split, rejects by reason."""

from .section import Names, Report


def names(report: Report) -> Names:
    inputs, provenance = report.inputs, report.provenance
    return {
        "ledger": report.ledger,
        "reports": inputs.reports,
        "pairs": inputs.pairs,
        "copies": inputs.copies,
        "license": provenance.run("index_inputs", inputs.tree.pretrain_on).tags.get("licenses"),
    }

"""Data cards of the evaluation."""

from .section import Names, Report


def names(report: Report) -> Names:
    inputs = report.inputs
    return {"cards": list(zip(inputs.tree.evaluate_on, inputs.cards, strict=True))}

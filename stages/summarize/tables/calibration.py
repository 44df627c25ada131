"""Calibration of zero-shot scores: how reliable probabilities are before and after the fit."""

from ..inputs import Inputs
from ..naming import variant_label
from ..numbers import words
from .classification import intervals_note
from .table import Block, Cell, Column, Row, Table, cell_of

METHODS = {"temperature": "temperature scaling (one factor)", "platt": "Platt's scaling (a factor and a bias)"}
NOTE = (
    "Before: sigmoid of the score over the temperature of the chosen checkpoint. After: sigmoid of slope times "
    "score plus bias, fitted on the validation part. ECE is the expected calibration error over {bins} bins of "
    "equal width; on few images it is above 0 even for exact probabilities. Brier is the mean squared error of the "
    "probability. Smaller is better; not tested."
)


def calibration_tables(inputs: Inputs) -> list[Table]:
    """Make one table per data set whose scores were calibrated, with a row per variant and finding."""
    tables = []
    for dataset in dict.fromkeys(each.dataset for each in inputs.zero_shot):
        measured = [each for each in inputs.zero_shot if each.dataset == dataset]
        rows, first = [], measured[0].result
        for each in measured:
            for finding, own in each.result.findings.items():
                if (found := own.calibration) is not None:
                    cells = {"finding": Cell(text=words(finding))}
                    for when, part in (("before", found.before), ("after", found.after)):
                        cells |= {f"ece_{when}": cell_of(part.calibration_error), f"brier_{when}": cell_of(part.brier)}
                    cells |= {"slope": Cell(found.slope), "bias": Cell(found.bias)}
                    rows.append(Row(variant_label(inputs, each.variant), cells, key=each.variant))
        calibrations = [own.calibration for own in first.findings.values() if own.calibration is not None]
        if rows and calibrations:
            one = calibrations[0]
            tables.append(Table(
                f"calibration_{dataset}",
                f"Calibration of zero-shot scores in {dataset} by {METHODS[one.method]}",
                (Column("finding", "finding", "text"), Column("ece_before", "ECE before"),
                 Column("ece_after", "ECE after", brief=True), Column("brier_before", "Brier before"),
                 Column("brier_after", "Brier after", brief=True), Column("slope", "slope"),
                 Column("bias", "bias")),
                (Block("measured", tuple(rows)),),
                legend=(NOTE.format(bins=len(one.after.bins)), intervals_note(first.resampled_by)),
                task="calibration",
            ))  # fmt: skip
    return tables

"""Calibration of zero-shot scores: how reliable probabilities are before and after the fit."""

from collections.abc import Sequence

from ...zero_shot_classification.contract import Calibration
from ..inputs import Inputs
from ..naming import variant_label
from ..numbers import words
from ..readers.evaluation import by_variant
from .classification import intervals_note
from .seeds import mean_and_spread, seeds_cell, seeds_note
from .table import Block, Cell, Column, Row, Table

METHODS = {"temperature": "temperature scaling (one factor)", "platt": "Platt's scaling (a factor and a bias)"}
NOTE = (
    "Before: sigmoid of the score over the temperature of the chosen checkpoint, or of a standardised score as it is. "
    "After: sigmoid of slope times score plus bias, fitted on the validation part. ECE is the expected calibration "
    "error over {bins} bins of equal width; on few images it is above 0 even for exact probabilities, and more so in "
    "each draw of a bootstrap, so that it has no interval. Brier is the mean squared error of the probability. Smaller "
    "is better; not tested."
)


def calibration_tables(inputs: Inputs) -> list[Table]:
    """Make one table per data set whose scores were calibrated, with a row per variant and finding."""
    tables = []
    for dataset in dict.fromkeys(each.dataset for each in inputs.zero_shot):
        measured = [each for each in inputs.zero_shot if each.dataset == dataset]
        rows, first = [], measured[0].result
        for variant, replicates in by_variant(measured).items():
            for finding in first.findings:
                found = [own for each in replicates
                         if (own := each.result.findings[finding].calibration) is not None]  # fmt: skip
                if found:
                    cells = {"finding": Cell(text=words(finding))} | _cells(found)
                    rows.append(Row(variant_label(inputs, variant), cells, key=variant))
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
                legend=(NOTE.format(bins=len(one.after.bins)), intervals_note(first.resampled_by), *seeds_note(inputs)),
                task="calibration",
            ))  # fmt: skip
    return tables


def _cells(found: Sequence[Calibration]) -> dict[str, Cell]:
    """Return the figures of one finding, of the replicates of a variant."""
    cells = {}
    for when, parts in (("before", [each.before for each in found]), ("after", [each.after for each in found])):
        error, spread = mean_and_spread([part.calibration_error for part in parts])
        cells[f"ece_{when}"] = Cell(error, spread=spread)
        cells[f"brier_{when}"] = seeds_cell([part.brier for part in parts])
    for name in ("slope", "bias"):
        value, spread = mean_and_spread([getattr(each, name) for each in found])
        cells[name] = Cell(value, spread=spread)
    return cells

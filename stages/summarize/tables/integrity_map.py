"""The integrity map phi: its scale, and whether it is larger in the lungs."""

from ..inputs import Inputs
from ..naming import variant_label
from ..numbers import figures, words
from .table import Block, Cell, Column, Row, Table


def integrity_table(inputs: Inputs) -> Table | None:
    """Make the table of phi: its scale, and its AUC against the mean lung mask; None where no variant has phi."""
    measured = [(each, phi) for each in inputs.grounding if (phi := each.result.integrity_map) is not None]
    rows = tuple(
        Row(
            variant_label(inputs, each.variant),
            {
                "dataset": Cell(text=words(each.place) if each.place != each.dataset else each.dataset),
                "lung_auc": Cell(text="lungs unknown") if phi.lung_auc is None else Cell(phi.lung_auc),
                "smallest": Cell(phi.smallest, form=figures),
                "largest": Cell(phi.largest, form=figures),
                "standard_deviation": Cell(phi.standard_deviation, form=figures),
            },
            key=each.variant,
        )
        for each, phi in measured
    )
    columns = (
        Column("dataset", "data set", "text", brief=True),
        Column("lung_auc", "AUC against the mean lung mask", brief=True),
        Column("smallest", "minimum", brief=True),
        Column("largest", "maximum", brief=True),
        Column("standard_deviation", "standard deviation", brief=True),
    )
    caption = "Integrity map \u03c6 (centred)"
    return Table("phi", caption, columns, (Block("measured", rows),), task="integrity_map") if rows else None

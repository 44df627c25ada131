"""The integrity map phi of each variant: its scale, and what it has to do with lungs."""

from collections.abc import Sequence

from ...phrase_grounding.contract import IntegrityMap
from ..inputs import Inputs
from ..naming import variant_label
from ..numbers import decimal, figures, words
from ..readers.evaluation import by_variant
from .grounding import by_place
from .seeds import mean_and_spread
from .table import Block, Cell, Column, Row, Table


def integrity_table(inputs: Inputs) -> Table | None:
    """Make the table of phi: its scale, and its AUC against the mean lung mask; None where no variant has phi."""
    rows = tuple(
        Row(
            variant_label(inputs, variant),
            {"dataset": Cell(text=words(place) if place != own[0].dataset else place)} | cells,
            key=variant,
        )
        for place, measured in by_place(inputs.grounding).items()
        for variant, own in by_variant(measured).items()
        if (cells := _phi_cells([phi for each in own if (phi := each.result.integrity_map) is not None]))
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


def _phi_cells(maps: Sequence[IntegrityMap]) -> dict[str, Cell]:
    """Return what is said of phi, over the replicates of a variant; empty where it has none."""
    cells: dict[str, Cell] = {}
    for key in ("lung_auc", "smallest", "largest", "standard_deviation") if maps else ():
        known = [value for each in maps if (value := getattr(each, key)) is not None]
        if key == "lung_auc" and not known:
            cells[key] = Cell(text="lungs unknown")
        else:
            value, spread = mean_and_spread(known)
            cells[key] = Cell(value, spread=spread, form=decimal if key == "lung_auc" else figures)
    return cells

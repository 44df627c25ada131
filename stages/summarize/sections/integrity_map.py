"""phi on its patch grid, with its scale."""

import matplotlib as mpl
import numpy as np
from jaxtyping import Float

from stages.summarize.drawing import STYLE, axes_of, data_uri, svg
from stages.summarize.inputs import Inputs
from stages.summarize.readers.phrase_grounding import IntegrityMap
from stages.summarize.sections.section import Names, Report
from stages.summarize.tables import integrity_rows

DIVERGING = "RdBu_r"


def names(report: Report) -> Names:
    return {"integrity_maps": _integrity_maps(report.inputs), "integrity_rows": integrity_rows(report.inputs)}


def _integrity_maps(inputs: Inputs) -> list[Names]:
    """One square a trained variant that has phi; an untrained phi is 0 everywhere and only stands in the table."""
    first = inputs.tree.evaluate_on[0]
    return [
        {
            "variant": each.variant,
            "grid": phi.grid,
            "src": data_uri(integrity_figure(phi)),
            "alt": f"phi of {each.variant} on its grid of {phi.grid} by {phi.grid} patches, from {phi.smallest:.2g} to "
            f"{phi.largest:.2g}.",
        }
        for each in inputs.grounding
        if each.dataset == first and inputs.trained(each.variant) and (phi := each.result.integrity_map) is not None
    ]


def integrity_figure(phi: IntegrityMap) -> str:
    """phi as a square over the patch grid, colours centred on 0."""
    values: Float[np.ndarray, "grid grid"] = np.array(phi.values).reshape(phi.grid, phi.grid)
    extent = max(abs(phi.smallest), abs(phi.largest)) or 1.0
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = axes_of(3.4, 2.9)
        image = axes.imshow(values, cmap=DIVERGING, vmin=-extent, vmax=extent, interpolation="none")
        axes.set_axis_off()
        bar = figure.colorbar(image, ax=axes, shrink=0.92, pad=0.03)
        bar.outline.set_visible(False)
        bar.set_ticks([-extent, 0, extent], labels=[f"{-extent:.2g}", "0", f"{extent:.2g}"])
        return svg(figure)

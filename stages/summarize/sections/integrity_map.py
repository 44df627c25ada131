"""phi on its patch grid, with its scale, and over the mean radiograph where that may be published."""

import matplotlib as mpl
import numpy as np
from jaxtyping import Float

from ..drawing import STYLE, axes_of, data_uri, svg
from ..readers.select_checkpoint import Integrity
from ..tables import integrity_rows
from .section import Names, Report

DIVERGING = "RdBu_r"
ABOVE, BELOW = (255, 84, 70), (72, 148, 255)  # seen on dark lungs and on bright bone
OPACITY = 0.75  # of the patch that is farthest from 0; at 0 the radiograph alone is seen


def names(report: Report) -> Names:
    inputs = report.inputs
    maps = [_map(each) for each in inputs.integrity if inputs.trained(each.variant)]
    return {
        "integrity_maps": maps,
        "integrity_rows": integrity_rows(inputs),
        "without_mean": any(each["over"] is None for each in maps),
    }


def _map(integrity: Integrity) -> Names:
    """One trained variant; an untrained phi is 0 everywhere and only stands in the table."""
    low, high, grid = float(integrity.phi.min()), float(integrity.phi.max()), len(integrity.phi)
    alt = f"phi of {integrity.variant} on its grid of {grid} by {grid} patches, from {low:.2g} to {high:.2g}"
    return {
        "variant": integrity.variant,
        "grid": grid,
        "src": data_uri(integrity_figure(integrity.phi)),
        "alt": f"{alt}.",
        "images": integrity.images,
        "over": None if integrity.mean is None else data_uri(over_mean_figure(integrity.phi, integrity.mean)),
        "over_alt": f"{alt}, over the mean of {integrity.images} radiographs: red above its own mean, blue below.",
    }


def integrity_figure(phi: Float[np.ndarray, "grid grid"]) -> str:
    """phi as a square over the patch grid, colours centred on 0."""
    extent = float(np.abs(phi).max()) or 1.0
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = axes_of(3.4, 2.9)
        image = axes.imshow(phi, cmap=DIVERGING, vmin=-extent, vmax=extent, interpolation="none")
        axes.set_axis_off()
        bar = figure.colorbar(image, ax=axes, shrink=0.92, pad=0.03)
        bar.outline.set_visible(False)
        bar.set_ticks([-extent, 0, extent], labels=[f"{-extent:.2g}", "0", f"{extent:.2g}"])
        return svg(figure)


def over_mean_figure(phi: Float[np.ndarray, "grid grid"], mean: Float[np.ndarray, "size size"]) -> str:
    """phi over a radiograph (grey 0..1): the stronger, the farther from 0."""
    strength = phi / (float(np.abs(phi).max()) or 1.0)
    overlay = np.empty((*phi.shape, 4), np.uint8)
    overlay[..., :3] = np.where(strength[..., None] > 0, ABOVE, BELOW)
    overlay[..., 3] = np.rint(255 * OPACITY * np.abs(strength))
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = axes_of(2.9, 2.9)
        axes.set_axis_off()
        place = (0, len(mean), len(mean), 0)  # left, right, bottom, top: the first row is the upper one
        axes.imshow(mean, cmap="gray", vmin=0, vmax=1, extent=place, interpolation="none")
        axes.imshow(overlay, extent=place, interpolation="none")
        return svg(figure)

"""What heatmaps and phi point at: the pointing game, radiographs with heatmaps, the integrity map."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...common.wording import counted
from ..drawing import STYLE, axes_of, data_uri, svg
from ..inputs import Inputs
from ..naming import replicate_label
from ..numbers import decimal
from ..readers.evaluation import Grounding, Sample
from ..readers.training import Integrity
from ..tables.grounding import by_place
from ..tables.integrity import integrity_table
from .report import Names, Report

HEATMAP = "inferno"
DIVERGING = "RdBu_r"
ABOVE, BELOW = (255, 84, 70), (72, 148, 255)  # seen on dark lungs and on bright bone
OPACITY = 0.75  # of the patch that is farthest from 0; at 0 the radiograph alone is seen


def pointing_names(report: Report) -> Names | None:
    """Return the names for the pointing game, or None without grounding."""
    if not report.inputs.grounding:
        return None
    return {"tables": report.tables_of("pointing")}


def heatmaps_names(report: Report) -> Names | None:
    """Return the names for the heatmaps, or None without grounding."""
    places = by_place(report.inputs.shown(report.inputs.grounding))
    return {"samples": [_samples(report, each) for each in places.values()]} if places else None


def _samples(report: Report, grounding: Sequence[Grounding]) -> Names:
    """Return rows of one radiograph each, with the heatmap of every variant beside it."""
    dataset = grounding[0].dataset
    run = report.provenance.run("phrase_grounding", f"{grounding[0].replicate.name}/{dataset}")
    absent = "no radiograph was drawn: samples is 0"
    if run.param("publish_samples") != "True":
        absent = "radiographs are not published: publish_samples is false"
    names = list(grounding[0].result.pointing)
    return {
        "dataset": dataset,
        "finding": grounding[0].result.finding,
        "prompt_set": names[0],  # phrase_grounding draws its samples from the set that stands first
        "absent": absent,
        "rows": [_sample_row(report.inputs, sample, grounding) for sample in grounding[0].samples],
    }


def _sample_row(inputs: Inputs, sample: Sample, grounding: Sequence[Grounding]) -> Names:
    panels = []
    for each in grounding:
        for other in each.samples:
            if other.image_id == sample.image_id:
                hit = "hit" if other.hit else "miss"
                panels.append(
                    {
                        "label": replicate_label(inputs, each.replicate),
                        "hit": hit,
                        "range": f"{decimal(other.heatmap.min())} to {decimal(other.heatmap.max())}",
                        "src": data_uri(heatmap_figure(other)),
                        "alt": f"Heatmap of {each.variant} over radiograph {sample.image_id}; its peak is a {hit}.",
                    }
                )
    alt = f"Radiograph {sample.image_id} with the outline of the true finding."
    return {
        "image_id": sample.image_id,
        "src": data_uri(radiograph_figure(sample)),
        "alt": alt,
        "panels": panels,
    }


def radiograph_figure(sample: Sample) -> str:
    """Draw a radiograph with the outline of the true finding."""
    with mpl.rc_context(STYLE | {"axes.grid": False, "figure.constrained_layout.use": False}):
        figure, axes = _picture(sample)
        _outline(axes, sample)
        return svg(figure)


def heatmap_figure(sample: Sample) -> str:
    """Draw the heatmap over the radiograph, scaled to its own range, with the true outline and the peak."""
    low, high = float(sample.heatmap.min()), float(sample.heatmap.max())
    shares = (sample.heatmap - low) / ((high - low) or 1.0)
    overlay = mpl.colormaps[HEATMAP](0.15 + 0.85 * shares)
    overlay[..., 3] = 0.75 * shares  # where the cosine is low the radiograph stays in sight
    with mpl.rc_context(STYLE | {"axes.grid": False, "figure.constrained_layout.use": False}):
        figure, axes = _picture(sample)
        axes.imshow((overlay * 255).round().astype(np.uint8), interpolation="none")
        _outline(axes, sample)
        row, column = sample.peak
        axes.plot([column], [row], "+", color="black", markersize=13, markeredgewidth=4)
        axes.plot([column], [row], "+", color="white", markersize=12, markeredgewidth=2)
        return svg(figure)


def _picture(sample: Sample) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(2.4, 2.4))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(sample.pixels, cmap="gray", vmin=0, vmax=255, interpolation="none")
    return figure, axes


def _outline(axes: Axes, sample: Sample) -> None:
    if not sample.region.any():
        return
    limits = axes.get_xlim(), axes.get_ylim()
    padded = np.pad(sample.region, 1).astype(float)  # so that a region at the edge is closed
    places = np.arange(-1, len(sample.region) + 1)
    for colour, width in (("black", 2.6), ("#56B4E9", 1.4)):
        axes.contour(places, places, padded, levels=[0.5], colors=[colour], linewidths=[width])
    axes.set(xlim=limits[0], ylim=limits[1])


def integrity_map_names(report: Report) -> Names:
    """Return the names for the integrity map."""
    inputs = report.inputs
    maps = [_map(each, replicate_label(inputs, each.replicate)) for each in inputs.shown(inputs.integrity)
            if inputs.trained(each.replicate.variant)]  # fmt: skip
    return {
        "integrity_maps": maps,
        "table": integrity_table(inputs),
        "without_mean": any(each["over"] is None for each in maps),
    }


def _map(integrity: Integrity, label: str) -> Names:
    """Return the names of one trained variant; an untrained phi is 0 everywhere and appears only in the table."""
    low, high, grid = float(integrity.phi.min()), float(integrity.phi.max()), len(integrity.phi)
    alt = f"phi of {label} on its grid of {grid} by {grid} patches, from {low:.2g} to {high:.2g}"
    return {
        "variant": label,
        "grid": grid,
        "src": data_uri(integrity_figure(integrity.phi)),
        "alt": f"{alt}.",
        "images": integrity.images,
        "over": None if integrity.mean is None else data_uri(over_mean_figure(integrity.phi, integrity.mean)),
        "over_alt": f"{alt}, over the mean of {counted(integrity.images, 'radiograph')}: red above its own mean, "
        "blue below.",
    }


def integrity_figure(phi: Float[np.ndarray, "grid grid"]) -> str:
    """Draw phi as a square over the patch grid, with colours centred on 0."""
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
    """Draw phi over a radiograph (grey 0..1); the colour is stronger farther from 0."""
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

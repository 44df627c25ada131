"""Radiographs with the heatmaps of every variant, where they may be published."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..drawing import STYLE, data_uri, svg
from ..inputs import Inputs
from ..numbers import decimal
from ..readers.phrase_grounding import Grounding, Sample
from ..tables import variant_label
from .section import Names, Report

HEATMAP = "inferno"


def names(report: Report) -> Names:
    return {"samples": [_samples(report, dataset) for dataset in report.inputs.tree.evaluate_on]}


def _samples(report: Report, dataset: str) -> Names:
    """Rows of one radiograph each, with the heatmap of every variant beside it."""
    grounding = [each for each in report.inputs.grounding if each.dataset == dataset]
    run = report.provenance.run("phrase_grounding", f"{grounding[0].variant}/{dataset}")
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
                        "label": variant_label(inputs, each.variant),
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
    """A radiograph with the outline of the true finding."""
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = _picture(sample)
        _outline(axes, sample)
        return svg(figure)


def heatmap_figure(sample: Sample) -> str:
    """The heatmap over the radiograph, scaled to its own range, with the true outline and the peak."""
    low, high = float(sample.heatmap.min()), float(sample.heatmap.max())
    shares = (sample.heatmap - low) / ((high - low) or 1.0)
    overlay = mpl.colormaps[HEATMAP](0.15 + 0.85 * shares)
    overlay[..., 3] = 0.75 * shares  # where the cosine is low the radiograph stays in sight
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = _picture(sample)
        axes.imshow((overlay * 255).round().astype(np.uint8), interpolation="none")
        _outline(axes, sample)
        row, column = sample.peak
        axes.plot([column], [row], "+", color="black", markersize=13, markeredgewidth=4)
        axes.plot([column], [row], "+", color="white", markersize=12, markeredgewidth=2)
        return svg(figure)


def _picture(sample: Sample) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(2.4, 2.4), layout="none")
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

"""Sections on localisation: the pointing game, radiographs with heatmaps, the integrity map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...common.records import Estimate
from ..drawing import STYLE, Style, axes_of, data_uri, svg
from ..inputs import Inputs
from ..naming import variant_label
from ..numbers import decimal, words
from ..readers.phrase_grounding import Grounding, Sample
from ..readers.select_checkpoint import Integrity
from ..tables.comparisons import Comparisons
from ..tables.grounding import IN_LUNG, POINTERS, RIVALS, baselines, integrity_rows, table_name
from .report import Axis, Names, Report, axis_of

_BASELINE = Style("#8a949b")
HEATMAP = "inferno"
DIVERGING = "RdBu_r"
ABOVE, BELOW = (255, 84, 70), (72, 148, 255)  # visible on dark lungs and on bright bone
OPACITY = 0.75  # of the patch farthest from 0; at 0 only the radiograph is visible


@dataclass(frozen=True)
class Pointer:
    """One line of the pointing game. `row` is its name in the comparisons, `column` that of its hits (None: both)."""

    label: str
    row: str
    column: str | None
    style: Style
    estimate: Estimate | None
    is_rival: bool  # what a trained heatmap has to beat
    bold: frozenset[str] = frozenset()  # measures in which it is better than all the others by the test
    contrast: Estimate | None = None  # contrast-to-noise ratio
    iou: Estimate | None = None

    def best(self, measure: str) -> bool:
        """Return whether the figure of a measure is in bold."""
        return (self.column or measure if measure == "pointing" else measure) in self.bold


def pointing_names(report: Report) -> Names:
    """Return the names for the pointing game."""
    return {
        "pointing": _pointing(report),
        "has_untrained": not all(each.trained for each in report.inputs.training),
    }


def _pointing(report: Report) -> list[Names]:
    """Return one table per data set and prompt set."""
    inputs, tables = report.inputs, []
    for dataset in inputs.tree.evaluate_on:
        grounding = [each for each in inputs.grounding if each.dataset == dataset]
        for prompt_set in grounding[0].result.pointing:
            name = table_name(dataset, prompt_set)
            pointers = _pointers(inputs, grounding, prompt_set, report.styles, report.comparisons)
            tables.append(
                {
                    "dataset": dataset,
                    "finding": grounding[0].result.finding,
                    "prompt_set": prompt_set,
                    "place_words": grounding[0].result.place_words[prompt_set],
                    "images": grounding[0].result.images,
                    "left_out": grounding[0].result.left_out,
                    "pointers": pointers,
                    "axis": Axis(0.0, axis_of([each.estimate for each in pointers]).high),
                    "verdicts": [
                        verdict(each, pointers, report.comparisons, name) for each in pointers if not each.is_rival
                    ],
                }
            )
    return tables


def _pointers(
    inputs: Inputs,
    grounding: Sequence[Grounding],
    prompt_set: str,
    styles: Mapping[str, Style],
    comparisons: Comparisons,
) -> list[Pointer]:
    first, name = grounding[0], table_name(grounding[0].dataset, prompt_set)

    def bold(row: str) -> frozenset[str]:
        columns = ("pointing", IN_LUNG, "contrast_to_noise", "iou")
        return frozenset(each for each in columns if comparisons.is_best(name, each, row))

    heatmaps = [
        Pointer(
            f"heatmap of {variant_label(inputs, each.variant)}{place}",
            each.variant,
            column,
            styles[each.variant],
            estimate,
            not inputs.trained(each.variant),
            bold(each.variant),
            None if place else each.result.contrast_to_noise[prompt_set]["heatmap"],
            None if place else each.result.iou[prompt_set]["heatmap"],
        )
        for each in grounding
        for place, column, estimate in (
            ("", "pointing", each.result.pointing[prompt_set].heatmap),
            (", inside the lungs", IN_LUNG, each.result.pointing[prompt_set].heatmap_in_lung),
        )
        if estimate is not None
    ]
    game = baselines(inputs, first.dataset, prompt_set)
    others = [
        Pointer(POINTERS[pointer], words(pointer), None, _BASELINE, getattr(game, pointer), True,
                bold(words(pointer)), first.result.contrast_to_noise[prompt_set][pointer],
                first.result.iou[prompt_set][pointer])
        for pointer in game.rivals(RIVALS)
    ]  # fmt: skip
    return sorted(heatmaps, key=lambda each: each.is_rival) + others


def verdict(heatmap: Pointer, pointers: Sequence[Pointer], comparisons: Comparisons, table: str) -> str:
    """Return a sentence on what the figures and the paired test of its column allow to say about one heatmap."""
    own, column = heatmap.estimate, heatmap.column
    assert own is not None  # a heatmap always has both
    assert column is not None
    rivals = [
        (each.label, each.estimate.value, comparisons.against(table, column, heatmap.row, each.row))
        for each in pointers
        if each.is_rival and each.estimate is not None and each.column in (None, column)
    ]
    unbeaten = [f"the {label} ({decimal(value)})" for label, value, _ in rivals if value >= own.value]
    open_ = [f"the {label} (p {decimal(found.adjusted)})" for label, _, found in rivals if not found.decided]
    subject = f"The {heatmap.label} ({decimal(own.value)})"
    if unbeaten:
        return f"{subject} does not beat {_and(unbeaten)}: no claim of localisation stands."
    if open_:
        return f"{subject} is above all the others, but the paired test does not tell it from {_and(open_)}."
    return f"{subject} is above all the others by the paired test."


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def heatmaps_names(report: Report) -> Names:
    """Return the names for the heatmaps."""
    return {"samples": [_samples(report, dataset) for dataset in report.inputs.tree.evaluate_on]}


def _samples(report: Report, dataset: str) -> Names:
    """Return rows of one radiograph each, with the heatmap of every variant beside it."""
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
    """Draw a radiograph with the outline of the true finding."""
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = _picture(sample)
        _outline(axes, sample)
        return svg(figure)


def heatmap_figure(sample: Sample) -> str:
    """Draw the heatmap over the radiograph, scaled to its own range, with the true outline and the peak."""
    low, high = float(sample.heatmap.min()), float(sample.heatmap.max())
    shares = (sample.heatmap - low) / ((high - low) or 1.0)
    overlay = mpl.colormaps[HEATMAP](0.15 + 0.85 * shares)
    overlay[..., 3] = 0.75 * shares  # where the cosine is low the radiograph stays visible
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
    padded = np.pad(sample.region, 1).astype(float)  # closes a region at the edge
    places = np.arange(-1, len(sample.region) + 1)
    for colour, width in (("black", 2.6), ("#56B4E9", 1.4)):
        axes.contour(places, places, padded, levels=[0.5], colors=[colour], linewidths=[width])
    axes.set(xlim=limits[0], ylim=limits[1])


def integrity_map_names(report: Report) -> Names:
    """Return the names for the integrity map."""
    inputs = report.inputs
    maps = [_map(each) for each in inputs.integrity if inputs.trained(each.variant)]
    return {
        "integrity_maps": maps,
        "integrity_rows": integrity_rows(inputs),
        "without_mean": any(each["over"] is None for each in maps),
    }


def _map(integrity: Integrity) -> Names:
    """Return the names of one trained variant; an untrained phi is 0 everywhere and appears only in the table."""
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

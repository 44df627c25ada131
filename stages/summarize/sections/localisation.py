"""What heatmaps and phi point at: the pointing game, radiographs with heatmaps, the integrity map."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from ...common.pictures.drawing import PLAIN, TRUTH, outline
from ...common.pictures.overlays import TOP, css_scale, jpeg_uri, overlay_svg
from ...common.wording import counted
from ..drawing import STYLE, axes_of, data_uri, svg
from ..inputs import Inputs
from ..naming import replicate_label, short_id
from ..numbers import decimal
from ..readers.evaluation import Grounding, Sample
from ..readers.training import Integrity
from ..tables.grounding import by_place
from ..tables.integrity import integrity_table
from .report import Names, Report

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
    names = list(grounding[0].result.pointing)
    asked = {each.prompts for each in grounding[0].samples}
    return {
        "dataset": dataset,
        "finding": grounding[0].result.finding,
        "prompt_set": names[0],  # phrase_grounding draws its samples from the set that stands first
        "absent": run.without_samples(),
        "rows": [_sample_row(report.inputs, sample, grounding) for sample in grounding[0].samples],
        "prompts": next(iter(asked)) if len(asked) == 1 else (),  # one for all rows, where they name no place
        "scale": css_scale(),
        "top": f"{100 * TOP:g} %",
    }


def _sample_row(inputs: Inputs, sample: Sample, grounding: Sequence[Grounding]) -> Names:
    """Return a radiograph with its true outline, and the heatmap of every variant to be laid over it."""
    panels = [_panel(each.variant, replicate_label(inputs, each.replicate), other) for each in grounding
              for other in each.samples if other.image_id == sample.image_id]  # fmt: skip
    return {
        "image_id": sample.image_id,
        "short_id": short_id(sample.image_id),
        "prompts": sample.prompts,
        "radiograph": jpeg_uri(sample.overlay.pixels),
        "outline": data_uri(outline_figure(sample)),
        "alt": f"Radiograph {sample.image_id} with the outline of the true finding.",
        "panels": panels,
    }


def _panel(variant: str, label: str, sample: Sample) -> Names:
    low, high = sample.overlay.range
    hit = "hit" if sample.hit else "miss"
    row, column = (100 * (place + 0.5) / side for place, side in zip(sample.overlay.peak, sample.overlay.pixels.shape,
                                                                     strict=True))  # fmt: skip
    where = f"{column:.0f} % from the left, {row:.0f} % from the top"
    return {
        "label": label,
        "hit": hit,
        "low": decimal(low),
        "high": decimal(high),
        "reading": sample.reading,
        "src": data_uri(overlay_svg(sample.overlay)),
        "alt": f"Heatmap of {variant} over radiograph {sample.image_id}, {decimal(low)} to {decimal(high)}; its peak, "
        f"{where}, is a {hit}.",
    }


def outline_figure(sample: Sample) -> str:
    """Draw the outline of the true finding, to be laid over its radiograph."""
    rows, columns = sample.overlay.pixels.shape
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(2.4, 2.4 * rows / columns))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
        axes.set_axis_off()
        if sample.overlay.region is not None:
            outline(axes, sample.overlay.region, TRUTH)
        return svg(figure)


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
        bar.set_label("phi, less its mean")
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

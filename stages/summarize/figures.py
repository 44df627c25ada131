"""Figures as SVG text: the same numbers give the same bytes. Words and keys stand in the page, not in the figures."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stages.summarize.inputs import Sample, Training, ZeroShot, roc_curve
from stages.summarize.records import Bins, Distribution, GreyValues, IntegrityMap

INK, GRID = "#1d2429", "#dfe3e6"
HEATMAP, DIVERGING = "inferno", "RdBu_r"
# Okabe and Ito's palette, told apart with every common colour blindness; dashes help in print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5D3A9B")
_DASHES = ("", "6 2", "2 2", "6 2 2 2")
_MOST_BARS = 40
LOSSES = ("loss/total", "loss/contrastive", "loss/local", "loss/reconstruction")

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mlip",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa4ab",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": "#56616a",
    "ytick.color": "#56616a",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Style:
    """How a variant or a loss looks in every figure and key."""

    colour: str
    dashes: str = ""  # SVG's stroke-dasharray; empty is solid

    def line(self) -> dict[str, Any]:
        lengths = [float(each) for each in self.dashes.split()]
        return {"color": self.colour, "linestyle": (0, tuple(lengths)) if lengths else "-"}


def variant_styles(training: Sequence[Training]) -> dict[str, Style]:
    """Colours in the order of the variants; untrained ones are grey."""
    styles, used = {}, 0
    for each in training:
        if not each.trained:
            styles[each.variant] = Style("#767676", "4 2")
            continue
        styles[each.variant] = Style(_COLOURS[used % len(_COLOURS)], _DASHES[used // len(_COLOURS) % len(_DASHES)])
        used += 1
    return styles


LOSS_STYLES = dict(zip(LOSSES, (Style(INK), *map(Style, _COLOURS[:3])), strict=True))


def roc_figure(curves: Sequence[ZeroShot], styles: Mapping[str, Style]) -> str:
    """ROC curves of the variants on the test part of one data set."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(3.3, 3.3)
        axes.plot([0, 1], [0, 1], color="#b6bec4", linewidth=0.8)
        for each in curves:
            axes.plot(*roc_curve(each.scores, each.targets), linewidth=1.6, **styles[each.variant].line())
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="false positive rate", ylabel="true positive rate")
        axes.set_aspect("equal")
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.set_yticks(np.linspace(0, 1, 6))
        return _svg(figure)


def loss_figure(training: Training) -> str:
    """The loss terms of one variant over the steps."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(4.6, 2.7)
        for name in shown_losses(training):
            axes.plot(training.curve["step"], training.curve[name], linewidth=1.4, **LOSS_STYLES[name].line())
        axes.set(xlabel="step", ylabel="loss")
        axes.set(xlim=(0, None), ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        return _svg(figure)


def shown_losses(training: Training) -> list[str]:
    """The terms that this variant has."""
    return [name for name in LOSSES if name in training.curve]


def selection_figure(training: Sequence[Training], styles: Mapping[str, Style]) -> str:
    """Validation score of every candidate, the chosen one filled; an untrained variant is a level."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(4.6, 2.7)
        for each in training:
            steps = sorted(each.selection.candidates)
            scores = [each.selection.candidates[step] for step in steps]
            line, chosen = styles[each.variant].line(), each.selection.chosen_step
            if not each.trained:
                axes.axhline(scores[0], linewidth=1.2, **line)
                continue
            axes.plot(steps, scores, linewidth=1.4, marker="o", markersize=5, markerfacecolor="white", **line)
            axes.plot([chosen], [each.selection.candidates[chosen]], "o", markersize=8, color=line["color"])
        top = max(score for each in training for score in each.selection.candidates.values())
        axes.set(xlabel="step of the candidate", ylabel="mean reciprocal rank")
        axes.set(xlim=(0, None), ylim=(0, 1.1 * top or 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        return _svg(figure)


def integrity_figure(phi: IntegrityMap) -> str:
    """phi as a square over the patch grid, colours centred on 0."""
    values: Float[np.ndarray, "grid grid"] = np.array(phi.values).reshape(phi.grid, phi.grid)
    extent = max(abs(phi.smallest), abs(phi.largest)) or 1.0
    with mpl.rc_context(_STYLE | {"axes.grid": False}):
        figure, axes = _axes(3.4, 2.9)
        image = axes.imshow(values, cmap=DIVERGING, vmin=-extent, vmax=extent, interpolation="none")
        axes.set_axis_off()
        bar = figure.colorbar(image, ax=axes, shrink=0.92, pad=0.03)
        bar.outline.set_visible(False)
        bar.set_ticks([-extent, 0, extent], labels=[f"{-extent:.2g}", "0", f"{extent:.2g}"])
        return _svg(figure)


def lengths_figure(lengths: Distribution, label: str, items: str) -> str:
    """How many `items` have each length, up to the 99.5th percentile: a few giants would hide all the others."""
    values, counts = (np.array(each) for each in zip(*sorted(lengths.counts.items()), strict=True))
    shown = values <= values[np.searchsorted(counts.cumsum(), 0.995 * counts.sum())]
    width = max(1, -(-int(values[shown][-1]) // _MOST_BARS))  # bars of whole numbers, so that none is empty by rounding
    edges = np.arange(0, values[shown][-1] + width + 1, width)
    heights, _ = np.histogram(values[shown], edges, weights=counts[shown])
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(3.1, 2.2)
        axes.bar(edges[:-1] + (width - 1) / 2, heights, width=0.9 * width, color=_COLOURS[0])
        axes.set(xlabel=label, ylabel=items)
        axes.grid(visible=False, axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        return _svg(figure)


def bins_figure(bins: Bins, label: str, items: str) -> str:
    """How many `items` are in each bin, every bin as wide as the next, up to the last one that is not empty."""
    last = int(np.flatnonzero([*bins.counts, 1])[:-1].max(initial=0))
    ends = [edge - 1 for edge in bins.edges[1:]] + [None]
    names = [
        f"{edge}+" if end is None else str(edge) if end == edge else f"{edge}\u2013{end}"
        for edge, end in zip(bins.edges, ends, strict=True)
    ]
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(4.6, 2.4)
        axes.bar(range(last + 1), bins.counts[: last + 1], width=0.86, color=_COLOURS[0])
        axes.set(xlabel=label, ylabel=items)
        axes.set_xticks(range(last + 1), names[: last + 1], rotation=45, ha="right", rotation_mode="anchor")
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        return _svg(figure)


def grey_values_figure(grey: GreyValues) -> str:
    """Share of the pixels a grey level, with the mean and one standard deviation to both sides.

    The axis ends above the levels between: black and white, where windows clip, may have far larger shares.
    """
    shares = np.array(grey.histogram) / grey.pixels
    mean, deviation = grey.mean, grey.standard_deviation
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(3.1, 2.2)
        axes.axvspan(max(0, mean - deviation), min(1, mean + deviation), color=_COLOURS[5], alpha=0.18, linewidth=0)
        axes.stairs(shares, np.arange(-0.5, len(shares)) / (len(shares) - 1), fill=True, color=_COLOURS[0])
        axes.axvline(mean, color=INK, linewidth=1)
        top = float(shares[1:-1].max()) or float(shares.max())
        axes.set(xlabel="grey value", ylabel="share of pixels", xlim=(-0.01, 1.01), ylim=(0, 1.1 * top))
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        return _svg(figure)


def radiograph_figure(sample: Sample) -> str:
    """A radiograph with the outline of the true finding."""
    with mpl.rc_context(_STYLE | {"axes.grid": False}):
        figure, axes = _picture(sample)
        _outline(axes, sample)
        return _svg(figure)


def heatmap_figure(sample: Sample) -> str:
    """The heatmap over the radiograph, scaled to its own range, with the true outline and the peak."""
    low, high = float(sample.heatmap.min()), float(sample.heatmap.max())
    shares = (sample.heatmap - low) / ((high - low) or 1.0)
    overlay = mpl.colormaps[HEATMAP](0.15 + 0.85 * shares)
    overlay[..., 3] = 0.75 * shares  # where the cosine is low the radiograph stays in sight
    with mpl.rc_context(_STYLE | {"axes.grid": False}):
        figure, axes = _picture(sample)
        axes.imshow((overlay * 255).round().astype(np.uint8), interpolation="none")
        _outline(axes, sample)
        row, column = sample.peak
        axes.plot([column], [row], "+", color="black", markersize=13, markeredgewidth=4)
        axes.plot([column], [row], "+", color="white", markersize=12, markeredgewidth=2)
        return _svg(figure)


def data_uri(svg: str) -> str:
    """An SVG as the `src` of an image: nothing to load, no ids that collide within the page."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


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


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure without pyplot: no global state, nothing to close."""
    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def _svg(figure: Figure) -> str:
    figure.set_facecolor("none")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    # The reader's own font instead of the one that this machine measured with.
    return text[text.index("<svg") :].replace("'DejaVu Sans'", "system-ui, Helvetica, Arial, DejaVu Sans")

"""Shared parts of all figures: SVG text, with equal bytes for equal numbers.

Words and keys stand in the page, not in figures.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from .compact_svg import compact
from .readers.training import Training

INK, GRID = "#1d2429", "#dfe3e6"
# Okabe and Ito's palette, distinguishable with every common colour blindness; dashes help in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5D3A9B")
_KEPT = " =:/;,+()-.!*@?[]"  # stands in an address as it is
_DASHES = ("", "6 2", "2 2", "6 2 2 2")

STYLE: dict[RcKeyType, Any] = {
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
    """Appearance of a variant or a loss in every figure and key."""

    colour: str
    dashes: str = ""  # SVG's stroke-dasharray; empty is solid

    def line(self) -> dict[str, Any]:
        """Return the style as keywords of matplotlib's lines."""
        lengths = [float(each) for each in self.dashes.split()]
        return {"color": self.colour, "linestyle": (0, tuple(lengths)) if lengths else "-"}


def variant_styles(training: Sequence[Training]) -> dict[str, Style]:
    """Assign colours in the order of the variants; untrained ones are grey."""
    styles, used = {}, 0
    for each in {each.variant: each for each in training}.values():
        if not each.trained:
            styles[each.variant] = Style("#767676", "4 2")
            continue
        styles[each.variant] = Style(COLOURS[used % len(COLOURS)], _DASHES[used // len(COLOURS) % len(_DASHES)])
        used += 1
    return styles


def axes_of(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure and its axes without pyplot, sizes in inches: no global state, nothing to close."""
    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def svg(figure: Figure) -> str:
    """Return a figure as SVG."""
    figure.set_facecolor("none")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    # The reader's own font instead of the one with which this machine measured.
    return text[text.index("<svg") :].replace("'DejaVu Sans'", "system-ui, Helvetica, Arial, DejaVu Sans")


def data_uri(svg: str) -> str:
    """Return an SVG as the `src` of an image: nothing to load, no ids that collide within the page."""
    return "data:image/svg+xml," + quote(compact(svg), safe=_KEPT)

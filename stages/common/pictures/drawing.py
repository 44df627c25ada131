"""Shared parts of all figures: SVG text, with equal bytes for equal numbers."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

INK, GRID = "#1d2429", "#dfe3e6"
# Okabe and Ito's palette, distinguishable with every common colour blindness; dashes help in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5D3A9B")
DASHES = ("", "6 2", "2 2", "6 2 2 2")
TRUTH, PREDICTED = "#56B4E9", "#E69F00"  # outlines over radiographs

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
    "axes.formatter.useoffset": False,
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
# Of pictures that fill their figure to the edge.
PLAIN: dict[RcKeyType, Any] = STYLE | {"axes.grid": False, "figure.constrained_layout.use": False}


@dataclass(frozen=True)
class Style:
    """Appearance of a variant or a loss in every figure and key."""

    colour: str
    dashes: str = ""  # SVG's stroke-dasharray; empty is solid

    def line(self) -> dict[str, Any]:
        """Return the style as keywords of matplotlib's lines."""
        lengths = [float(each) for each in self.dashes.split()]
        return {"color": self.colour, "linestyle": (0, tuple(lengths)) if lengths else "-"}


def numbered_style(number: int) -> Style:
    """Return the style of the line with a number, from 0: colours first, then dashes."""
    return Style(COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)])


def axes_of(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure and its axes without pyplot, sizes in inches: no global state, nothing to close."""
    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def svg(figure: Figure, background: str = "none") -> str:
    """Return a figure as SVG; without a colour its background is transparent."""
    figure.set_facecolor(background)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    # The reader's own font instead of the one with which this machine measured.
    return text[text.index("<svg") :].replace("'DejaVu Sans'", "system-ui, Helvetica, Arial, DejaVu Sans")


def outline(axes: Axes, mask: Bool[np.ndarray, "rows columns"], colour: str, line: str = "solid") -> None:
    """Draw the outline of a mask with a black edge, seen on bone and on lung; an empty mask has none."""
    if not mask.any():
        return
    limits = axes.get_xlim(), axes.get_ylim()
    padded = np.pad(mask, 1).astype(float)  # so that an outline at the edge is closed
    rows, columns = (np.arange(-1, side + 1) for side in mask.shape)
    for stroke, width, kind in (("black", 2.6, "solid"), (colour, 1.4, line)):
        axes.contour(columns, rows, padded, levels=[0.5], colors=[stroke], linewidths=[width], linestyles=[kind])
    axes.set(xlim=limits[0], ylim=limits[1])

"""Pictures that a stage logs for a person to open in MLflow: charts of its counts and curves, radiographs, heatmaps.

They are drawn from what the stage has at hand and never read again, so an edit here reruns no stage: only `Run` knows
this module, and it imports it on the first picture (matplotlib takes .4 s of processor time).
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Concatenate, ParamSpec

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from ..errors import first_line
from ..files.atomic_files import atomic_path
from ..pictures.drawing import COLOURS, PLAIN, PREDICTED, STYLE, TRUTH, axes_of, numbered_style, outline, svg
from ..pictures.overlays import Overlay, overlays_png

Grey = UInt8[np.ndarray, "rows columns"]
Mask = Bool[np.ndarray, "rows columns"]
Number = int | float
Points = tuple[Sequence[Number] | np.ndarray, Sequence[Number] | np.ndarray]  # places along both axes

_BAR = 0.26  # height of a bar with the gap below it, in inches
_FEW = 20  # points of a line that are marked each: a single one would else be a line without length
_TILE, _ACROSS = 192, 6  # side of a radiograph on a contact sheet in pixels, and how many stand side by side


P = ParamSpec("P")


def _or_warning(
    draw: Callable[Concatenate["Pictures", str, P], None],
) -> Callable[Concatenate["Pictures", str, P], None]:
    """Make a picture that cannot be drawn a warning: it must not cost the results that it shows."""

    @wraps(draw)
    def attempt(self: "Pictures", name: str, *arguments: P.args, **more: P.kwargs) -> None:
        try:
            draw(self, name, *arguments, **more)
        except OSError:  # a full disk costs more than a picture
            raise
        except Exception as error:  # matplotlib and Pillow raise what they like
            what = f"{type(error).__name__}: {first_line(error)}"
            print(f"warning: {self.folder / name}: could not be drawn ({what})", file=sys.stderr)

    return attempt


class Pictures:
    """The pictures of one run. Each method draws one, with equal bytes for equal values, and logs it under `name`.

    Radiographs may only be passed where the stage's settings say `publish_samples`.
    """

    def __init__(self, folder: Path, log_artifact: Callable[[Path, bool], None]) -> None:
        self.folder, self._log_artifact = folder, log_artifact

    def _log(self, name: str, content: bytes) -> None:
        with atomic_path(self.folder / name) as temporary:
            temporary.write_bytes(content)
        self._log_artifact(self.folder / name, True)

    @_or_warning
    def bars(self, name: str, panels: Mapping[str, Mapping[str, Number]]) -> None:
        """Draw a panel for each title: a bar for each key, with its number."""
        rows = [max(len(each), 1) for each in panels.values()]
        with mpl.rc_context(STYLE | {"axes.grid": False}):
            figure = Figure(figsize=(6.4, _BAR * sum(rows) + 0.5 * len(rows)))
            all_axes = figure.subplots(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]
            for axes, (title, values) in zip(all_axes, panels.items(), strict=True):
                axes.set_title(title, loc="left", fontsize=10)
                drawn = axes.barh(_words(values), [max(value, 0) for value in values.values()], 0.7, color=COLOURS[0])
                axes.bar_label(drawn, [_number(value) for value in values.values()], padding=3)
                axes.set(xticks=[], xlim=(0, 1.15 * max([*values.values(), 0]) or 1))
                axes.spines["bottom"].set_visible(False)
                axes.invert_yaxis()  # the first one on top
                if not values:
                    axes.set(yticks=[])
                    axes.text(0, 0.5, "none", transform=axes.transAxes)
            self._log(name, svg(figure, "white").encode())

    @_or_warning
    def histograms(self, name: str, panels: Mapping[str, Mapping[str, int]]) -> None:
        """Draw a histogram for each title: the count of each bin, by its name."""
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(3.8 * len(panels), 2.7))
            all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
            for axes, (title, counts) in zip(all_axes, panels.items(), strict=True):
                axes.bar(range(len(counts)), list(counts.values()), width=0.86, color=COLOURS[0])
                axes.set_xticks(range(len(counts)), list(counts), rotation=45, ha="right", rotation_mode="anchor")
                axes.set_title(title, loc="left", fontsize=10)
                axes.grid(visible=False, axis="x")
                axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
            self._log(name, svg(figure, "white").encode())

    @_or_warning
    def curves(
        self, name: str, lines: Mapping[str, Points], across: str, up: str, kept: Mapping[str, int] | None = None
    ) -> None:
        """Draw a line for each key, with the legend below; axes begin where the values do.

        Args:
            name: the file.
            lines: their points; few points are marked each, values that are not finite are gaps.
            across: label of the horizontal axis.
            up: label of the vertical axis.
            kept: of some lines the place of the point that was chosen; it is filled and named.
        """
        with mpl.rc_context(STYLE):
            figure, axes = axes_of(6.4, 3.8)
            for number, (key, (x, y)) in enumerate(lines.items()):
                style = numbered_style(number)
                axes.plot(x, y, label=key, marker="o" if len(x) <= _FEW else None, markersize=5,
                          markerfacecolor="white", linewidth=1.5, **style.line())  # fmt: skip
                if kept and key in kept:
                    point = x[kept[key]], y[kept[key]]
                    axes.plot(*point, "o", markersize=8, color=style.colour)
                    axes.annotate(f"kept: {_number(point[0])}", point, xytext=(0, 9), textcoords="offset points",
                                  ha="center", annotation_clip=False)  # fmt: skip
            axes.margins(0.06, 0.12)
            axes.set(xlabel=across, ylabel=up)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
            if len(places := {float(each) for x, _ in lines.values() for each in x}) == 1:
                axes.set_xticks(list(places))
            if lines:
                figure.legend(loc="outside lower center", ncols=2, frameon=False)
            self._log(name, svg(figure, "white").encode())

    @_or_warning
    def rates(self, name: str, lines: Mapping[str, Points], across: str, up: str) -> None:
        """Draw a line for each key in the unit square, where the diagonal is chance, as for ROC curves."""
        with mpl.rc_context(STYLE):
            figure, axes = axes_of(4.4, 4.4 + 0.2 * len(lines))
            axes.plot([0, 1], [0, 1], color="#b6bec4", linewidth=0.8)
            for number, (key, (x, y)) in enumerate(lines.items()):
                axes.plot(x, y, label=key, linewidth=1.5, **numbered_style(number).line())
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel=across, ylabel=up)
            if lines:  # a line each: names of findings are long
                figure.legend(loc="outside lower left", frameon=False)
            self._log(name, svg(figure, "white").encode())

    @_or_warning
    def drawn(self, name: str, svg: str) -> None:
        """Log an SVG that the stage has drawn itself."""
        self._log(name, svg.encode())

    @_or_warning
    def contact_sheet(self, name: str, radiographs: Sequence[Grey]) -> None:
        """Draw radiographs side by side, each shrunk to fit into its tile, as one JPEG."""
        across = min(_ACROSS, len(radiographs)) or 1
        sheet = Image.new("L", (across * _TILE, max(1, -(-len(radiographs) // across)) * _TILE))
        for place, each in enumerate(radiographs):
            tile = Image.fromarray(each)
            tile.thumbnail((_TILE, _TILE))
            sheet.paste(tile, (place % across * _TILE, place // across * _TILE))
        buffer = BytesIO()
        sheet.save(buffer, "JPEG", quality=85, optimize=True)
        self._log(name, buffer.getvalue())

    @_or_warning
    def heatmaps(
        self,
        name: str,
        unit: str,
        shown: Mapping[str, tuple[Grey, Float[np.ndarray, "rows columns"], Mask, Mask]],
    ) -> None:
        """Draw, under each title, a radiograph with its heatmap, content and true region; `unit` is of the values."""
        self._log(name, overlays_png({title: Overlay(*each) for title, each in shown.items()}, unit))

    @_or_warning
    def outlines(self, name: str, shown: Mapping[str, tuple[Grey, Mask, Mask]]) -> None:
        """Draw, under each title, a radiograph with its true and its predicted outline."""
        with mpl.rc_context(PLAIN | {"figure.constrained_layout.use": True}):
            figure = Figure(figsize=(4 * len(shown), 4.7), dpi=110, facecolor="white")
            figure.suptitle("blue: true outline; orange, dashed: prediction")
            all_axes = figure.subplots(1, len(shown), squeeze=False)[0]
            for axes, (title, (grey, truth, predicted)) in zip(all_axes, shown.items(), strict=True):
                axes.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
                axes.set_axis_off()
                axes.set_title(title, fontsize=10)
                outline(axes, truth, TRUTH)
                outline(axes, predicted, PREDICTED, "dashed")
            buffer = BytesIO()
            figure.savefig(buffer, format="png", metadata={"Software": None})
            self._log(name, buffer.getvalue())


def _words(keys: Mapping[str, Number]) -> list[str]:
    return [key.replace("_", " ") for key in keys]


def _number(value: Number) -> str:
    """Return a count in full, another number with three digits."""
    return f"{value:,.0f}" if isfinite(value) and value == int(value) else f"{value:.3g}"

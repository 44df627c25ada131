"""Heatmaps over radiographs: one look in the report, in the journals' pictures and in those of the Python API.

The radiograph stays readable: opacity grows with the square of the value's share of its range, and is 0 at the lowest.
The colours are matplotlib's inferno (perceptually uniform, told apart with every common colour blindness) without its
dark third, which would blacken the lungs. A line bounds the `TOP` share of highest values, whatever their range.
"""

import base64
import io
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image

from .drawing import PLAIN, TRUTH, outline, svg

COLOUR_MAP, _LOWEST, _HIGHEST = "inferno", 0.35, 0.97
OPACITY = 0.7  # of the highest value
TOP = 0.05  # share of the content inside the contour
_LEVELS = 32  # of opacity and colour: bands too fine to be seen, and a third of the bytes
_FINEST = 128  # pixels along a side of the colours
_JPEG_QUALITY = 82
_CROSS = {True: "+", False: "x"}  # the peak inside the truth or not; told apart without colour


@dataclass(frozen=True)
class Overlay:
    """A radiograph with the values of one heatmap, resampled to its pixels.

    `content` leaves out the padding; `region` is the true finding, None where nothing is known of it.
    """

    pixels: UInt8[np.ndarray, "rows columns"]
    values: Float[np.ndarray, "rows columns"]
    content: Bool[np.ndarray, "rows columns"]
    region: Bool[np.ndarray, "rows columns"] | None = None

    @property
    def range(self) -> tuple[float, float]:
        """Return the lowest and the highest value of the content."""
        inside = self.values[self.content]
        return float(inside.min()), float(inside.max())

    @property
    def peak(self) -> tuple[int, int]:
        """Return row and column of the highest value of the content; of several the first."""
        row, column = np.unravel_index(np.where(self.content, self.values, -np.inf).argmax(), self.values.shape)
        return int(row), int(column)

    @property
    def hit(self) -> bool | None:
        """Return whether the peak lies in the true region; None where nothing is known of it."""
        return None if self.region is None else bool(self.region[self.peak])

    @property
    def top(self) -> Bool[np.ndarray, "rows columns"]:
        """Return where the `TOP` share of highest values lies; nowhere if all are equal."""
        inside = self.values[self.content]
        level = np.quantile(inside, 1 - TOP)
        return self.content & (self.values >= level) & (inside.max() > inside.min())


def colours(shares: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape rgba"]:
    """Return colour and opacity of values given as shares (0..1) of their range."""
    stepped = np.rint(shares * _LEVELS) / _LEVELS
    rgba = mpl.colormaps[COLOUR_MAP](_LOWEST + (_HIGHEST - _LOWEST) * stepped)
    rgba[..., 3] = OPACITY * stepped**2
    return np.rint(255 * rgba).astype(np.uint8)


def colour_layer(overlay: Overlay) -> UInt8[np.ndarray, "rows columns rgba"]:
    """Return the colours of an overlay, transparent outside the content and where all values are equal."""
    low, high = overlay.range
    shares = np.where(overlay.content, (overlay.values - low) / ((high - low) or 1.0), 0.0)
    return colours(shares.clip(0, 1))


def css_scale() -> str:
    """Return the colour bar as a CSS background: from the lowest value to the highest, over the grey of a lung."""
    stops = np.linspace(0, 1, 9)
    listed = (f"rgb({r} {g} {b} / {a / 255:.2f}) {100 * stop:g}%"
              for stop, (r, g, b, a) in zip(stops, colours(stops).tolist(), strict=True))  # fmt: skip
    return f"linear-gradient(to right, {', '.join(listed)}), #555"


def overlay_svg(overlay: Overlay) -> str:
    """Return all but the radiograph, to be laid over it: colours, contour, true outline and peak."""
    rows, columns = overlay.values.shape
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(2.4 * columns / max(rows, columns), 2.4 * rows / max(rows, columns)))
        axes = figure.add_axes((0, 0, 1, 1))
        _draw(axes, overlay)
        return svg(figure)


def radiograph_jpeg(pixels: Integer[np.ndarray, "rows columns"], side: int | None = None) -> bytes:
    """Return a grey image as JPEG, for the eye alone; a longer side than `side` pixels becomes so long."""
    image, buffer = Image.fromarray(pixels.astype(np.uint8)), io.BytesIO()
    if side is not None:
        image.thumbnail((side, side))
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def jpeg_uri(pixels: Integer[np.ndarray, "rows columns"], side: int | None = None) -> str:
    """Return `radiograph_jpeg` as the `src` of an image."""
    return "data:image/jpeg;base64," + base64.b64encode(radiograph_jpeg(pixels, side)).decode()


def overlays_png(overlays: dict[str, Overlay], unit: str) -> bytes:
    """Return a PNG: a row for each overlay under its title, the radiograph alone at the left; `unit` is of the values.

    Raises ValueError without any overlay.
    """
    with mpl.rc_context(PLAIN | {"figure.constrained_layout.use": True, "font.size": 11}):
        figure = Figure(figsize=(10, 5.2 * len(overlays) + 0.1), dpi=120, facecolor="white")
        parts = figure.subfigures(len(overlays), 1, squeeze=False)[:, 0]
        for part, (title, overlay) in zip(parts, overlays.items(), strict=True):
            _draw_row(part, title, overlay, unit)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()


def _draw_row(figure: SubFigure, title: str, overlay: Overlay, unit: str) -> None:
    figure.suptitle(title, wrap=True)
    alone, over = figure.subplots(1, 2)
    for axes in (alone, over):
        axes.imshow(overlay.pixels, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
        axes.set_axis_off()
    if overlay.region is not None:
        outline(alone, overlay.region, TRUTH)
    _draw(over, overlay)
    said = {None: "", True: ", inside the true outline (blue)", False: ", outside the true outline (blue)"}
    alone.set_title("radiograph", fontsize=10)
    over.set_title(f"cross: peak{said[overlay.hit]}", fontsize=10)
    low, high = overlay.range
    ramp = over.inset_axes((0, -0.08, 1, 0.04))
    backed = colours(np.linspace(0, 1, 256)[np.newaxis]).astype(float)
    grey, alpha = 85.0, backed[..., 3:] / 255
    ramp.imshow(np.rint(alpha * backed[..., :3] + (1 - alpha) * grey).astype(np.uint8), aspect="auto")
    ramp.set(yticks=[], xticks=[0, 127.5, 255])
    ramp.set_xticklabels([f"{value:.3g}" for value in (low, (low + high) / 2, high)])
    ramp.set_xlabel(f"{unit}; white line: highest {100 * TOP:g} % of the image", fontsize=10)


def _draw(axes: Axes, overlay: Overlay) -> None:
    rows, columns = overlay.values.shape
    step = -(-max(rows, columns) // _FINEST)  # values are smooth: every second pixel shows the same in half the bytes
    axes.set_axis_off()
    axes.imshow(
        colour_layer(overlay)[::step, ::step], interpolation="none", extent=(-0.5, columns - 0.5, rows - 0.5, -0.5)
    )
    outline(axes, overlay.top, "white", "dotted")
    if overlay.region is not None:
        outline(axes, overlay.region, TRUTH)
    row, column = overlay.peak
    marker = _CROSS[overlay.hit is not False]
    axes.plot([column], [row], marker, color="black", markersize=13, markeredgewidth=4)
    axes.plot([column], [row], marker, color="white", markersize=12, markeredgewidth=2)

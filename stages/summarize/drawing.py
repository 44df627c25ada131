"""Styles of the page's figures, and figures as the addresses of images. Words and keys stand in the page."""

from collections.abc import Sequence
from urllib.parse import quote

from ..common.pictures.drawing import COLOURS, INK, STYLE, Style, axes_of, numbered_style, svg
from .compact_svg import compact
from .readers.training import Training

__all__ = ["COLOURS", "INK", "STYLE", "Style", "axes_of", "data_uri", "svg", "variant_styles"]

_KEPT = " =:/;,+()-.!*@?[]"  # stands in an address as it is


def variant_styles(training: Sequence[Training]) -> dict[str, Style]:
    """Assign colours in the order of the variants; untrained ones are grey."""
    styles, used = {}, 0
    for each in {each.variant: each for each in training}.values():
        if not each.trained:
            styles[each.variant] = Style("#767676", "4 2")
            continue
        styles[each.variant] = numbered_style(used)
        used += 1
    return styles


def data_uri(svg: str) -> str:
    """Return an SVG as the `src` of an image: nothing to load, no ids that collide within the page."""
    return "data:image/svg+xml," + quote(compact(svg), safe=_KEPT)

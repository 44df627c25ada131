"""Styles of the page's figures. Words and keys stand in the page, not in figures."""

from collections.abc import Sequence

from ..common.pictures.drawing import COLOURS, INK, STYLE, Style, axes_of, data_uri, numbered_style, svg
from .readers.training import Training

__all__ = ["COLOURS", "INK", "STYLE", "Style", "axes_of", "data_uri", "svg", "variant_styles"]


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

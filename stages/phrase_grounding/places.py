"""Where a finding lies in the words of a report: side and zone. A patient's right is on the left of the image."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

SIDES = ("right", "left")
ZONES = ("upper", "mid", "lower")


@dataclass(frozen=True)
class Place:
    """`part` is the finding on the named side: what a phrase with this place speaks of."""

    side: str
    zone: str
    part: Bool[np.ndarray, "rows columns"]

    def words(self, slots: tuple[str, ...]) -> tuple[str, ...]:
        """The words for some of the slots `side` and `zone`."""
        return tuple(getattr(self, slot) for slot in slots)


def place_of(region: Bool[np.ndarray, "rows columns"], frame: Bool[np.ndarray, "rows columns"]) -> Place:
    """Side with most of the region, then the third of the frame's height in which the middle of that part lies.

    frame: the lungs where they are known, else the content of the image; its middle column is the midline.
    """
    rows, columns = np.nonzero(frame)
    midline = (columns.min() + columns.max() + 1) / 2
    first = np.arange(region.shape[1]) < midline
    right = region & first
    part, side = (right, SIDES[0]) if 2 * right.sum() >= region.sum() else (region & ~first, SIDES[1])
    middle = np.nonzero(part)[0].mean() + 0.5
    third = int(len(ZONES) * (middle - rows.min()) / (rows.max() + 1 - rows.min()))
    return Place(side, ZONES[min(max(third, 0), len(ZONES) - 1)], part)

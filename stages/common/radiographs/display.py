"""DICOM's grey-scale chain on arrays: stored values to grey levels from 0 (black) to 255 (white).

The steps are the Modality LUT, the VOI LUT and the polarity; the clauses are those of PS3.3. Everything here is a
function of the stored value alone. A linear chain only clips the stored values, which are scaled to grey once the image
is small. Any other chain is a table over the values that occur, computed in float64 and looked up: exact, and faster
than arithmetic on every pixel. Both are applied to a few rows at a time, so no second picture of full size is made of
an image that shrinks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, Integer, Shaped, UInt16

from .rejection import RejectionError

WHITE = 255.0
VOI_LUT_UNUSABLE = ", VOI LUT unusable"  # end of the text for the column `window`
_BLOCK_ROWS = 128  # small enough for the processor's cache
_TABLE_LIMIT = 2**17  # entries; with more (32-bit values) the chain runs on the pixels themselves
# The largest value may be so many windows away from zero: a mean in float32 is then wrong by up to 2^-24 x 64 windows,
# which is 0.001 grey levels.
_NARROW = 64
_SUMMED = (np.uint8, np.uint16, np.int16)  # types of stored values whose sums OpenCV computes
_ALL = slice(None)
Index = slice | Integer[np.ndarray, "_"]


@dataclass(frozen=True)
class Rescale:
    """Linear Modality LUT (C.11.1.1.2): output = slope x stored value + intercept."""

    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True)
class LookupTable:
    """Lookup table (C.11.1.1.1 and C.11.2.1.1).

    `first` maps to entries[0]; values before and after the table take the first and last entry.
    """

    first: int
    entries: UInt16[np.ndarray, "entries"]
    bits: int  # bits per entry: the output range is 0 to 2^bits - 1


@dataclass(frozen=True)
class Window:
    """Window in units of the Modality LUT's output: C.11.2.1.2 (LINEAR), C.11.2.1.3 (SIGMOID, LINEAR_EXACT)."""

    center: float
    width: float
    function: str = "LINEAR"

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the last value that is black and the first that is white, for the two linear functions."""
        center, width = self.center, self.width
        if self.function == "LINEAR":  # C.11.2.1.2.1; the other is C.11.2.1.3.2
            center, width = center - 0.5, width - 1
        return center - width / 2, center + width / 2

    def __str__(self) -> str:
        return f"window {self.center:.10g}/{self.width:.10g} {self.function}"


@dataclass(frozen=True)
class Display:
    """Grey-scale chain of one image: how its stored values are meant to be displayed."""

    modality: Rescale | LookupTable
    voi: LookupTable | Window | None  # None: from the smallest to the largest value
    inverted: bool
    voi_lut_unusable: bool = False  # a VOI LUT contradicts itself, and the window beside it is used

    @property
    def window(self) -> str:
        """Return the text for the column `window` of the images."""
        if self.voi is None:
            return "minmax"
        if isinstance(self.voi, LookupTable):
            return "lut"
        return f"{self.voi}{VOI_LUT_UNUSABLE if self.voi_lut_unusable else ''}"


def is_inverted(photometric: str, presentation_lut_shape: str) -> bool:
    """Return whether the smallest value is white: one inversion, whichever of the two elements asks for it.

    | PhotometricInterpretation | PresentationLUTShape | inverted |
    |---|---|---|
    | MONOCHROME2 | IDENTITY or absent | no |
    | MONOCHROME1 | INVERSE or absent | once |
    | MONOCHROME1 | IDENTITY | once |
    | MONOCHROME2 | INVERSE | once |

    C.7.6.3.1.2: the smallest sample of MONOCHROME1 is white *after* any VOI transformation. C.7.6.1 and C.8.11.1:
    INVERSE says that the output is in P-Values after inversion. It goes with MONOCHROME1, as IDENTITY goes with
    MONOCHROME2. So the two elements state one inversion twice; they are not two inversions. The last two rows
    contradict the standard. For the first of them the photometric interpretation (type 1, defined without condition) is
    believed; for the second, INVERSE has only one possible reading.
    """
    return photometric == "MONOCHROME1" or presentation_lut_shape == "INVERSE"


def look_up(values: Float64[np.ndarray, "..."], table: LookupTable) -> Float64[np.ndarray, "..."]:
    """Return entries for values; a value between two integers (after a fractional rescale) takes the nearer one."""
    index = np.clip(np.rint(values) - table.first, 0, len(table.entries) - 1).astype(np.int64)
    return table.entries[index].astype(np.float64)


def modality_values(stored: Integer[np.ndarray, "..."], modality: Rescale | LookupTable) -> Float64[np.ndarray, "..."]:
    """Return the output of the Modality LUT (C.11.1)."""
    values = stored.astype(np.float64)
    if isinstance(modality, LookupTable):
        return look_up(values, modality)
    return values * modality.slope + modality.intercept


def window_values(values: Float64[np.ndarray, "..."], window: Window) -> Float64[np.ndarray, "..."]:
    """Return a window's output, 0 to 1. The width must be at least 1 for LINEAR, above 0 for the others."""
    if window.function == "SIGMOID":  # C.11.2.1.3.1
        exponent = np.clip(-4 * (values - window.center) / window.width, -700, 700)  # beyond, exp overflows
        return 1 / (1 + np.exp(exponent))
    bottom, top = window.bounds
    # The limits are tested first, because LINEAR with width 1 is a step.
    inside = (values - bottom) / ((top - bottom) or 1.0)
    return np.where(values <= bottom, 0.0, np.where(values > top, 1.0, inside.clip(0, 1)))


def voi_values(values: Float64[np.ndarray, "..."], voi: LookupTable | Window) -> Float64[np.ndarray, "..."]:
    """Return the output of the VOI LUT (C.11.2), as 0 to 1 of its range."""
    if isinstance(voi, LookupTable):
        return look_up(values, voi) / (2**voi.bits - 1)
    return window_values(values, voi)


class Stored(NamedTuple):
    """Stored values of grey pixels."""

    values: Integer[np.ndarray, "rows columns"]
    padding: Bool[np.ndarray, "rows columns"] | None  # None: no pixel is padding
    low: int  # the smallest and the largest value of the pixels that are not padding; 0 and 0 where all are
    high: int

    @classmethod
    def of(
        cls, values: Integer[np.ndarray, "rows columns"], padding: Bool[np.ndarray, "rows columns"] | None = None
    ) -> "Stored":
        """Return values with their range."""
        if padding is not None and padding.all():
            return cls(values, padding, 0, 0)
        used = None if padding is None else (~padding).view(np.uint8)
        if values.dtype == np.uint32:  # unknown to OpenCV
            present = values if padding is None else values[~padding]
            return cls(values, padding, int(present.min()), int(present.max()))
        low, high, _, _ = cv2.minMaxLoc(values, used)  # one pass, where numpy makes two
        return cls(values, padding, int(low), int(high))

    def present(self) -> Integer[np.ndarray, "present"]:
        """Return the values that occur outside padding, in ascending order."""
        if self.high - self.low >= _TABLE_LIMIT:
            return np.unique(self.values if self.padding is None else self.values[~self.padding])
        seen = np.zeros(self.high - self.low + 1, dtype=bool)
        for start in range(0, len(self.values), _BLOCK_ROWS):
            block = self.values[start : start + _BLOCK_ROWS]
            if self.padding is not None:
                block = block[~self.padding[start : start + _BLOCK_ROWS]]
            seen[block.astype(np.int64) - self.low] = True
        return np.flatnonzero(seen) + self.low


@dataclass(frozen=True)
class Levels:
    """An image as stored, and how its values become values that are linear in the grey level.

    So it may be resampled before it is scaled to grey.
    """

    values: Shaped[np.ndarray, "rows columns"]  # uint8, uint16, int16 or float32; any integers where `grey_of` is given
    black: float  # the linear value shown as 0; above `white` where the image is inverted
    white: float  # the linear value shown as 255
    clip: tuple[float, float] | None = None  # the ends of a window that some values lie beyond
    grey_of: Callable[[Integer[np.ndarray, "..."]], Float32[np.ndarray, "..."]] | None = None  # a chain that is no line
    padding: Bool[np.ndarray, "rows columns"] | None = None  # shown as black; with `grey_of` only

    def linear(self, rows: Index = _ALL, columns: Index = _ALL) -> Shaped[np.ndarray, "rows columns"]:
        """Return the linear values of some pixels, as float32 where they are no integers of 8 or 16 bits."""
        values = self.values[rows][:, columns]
        if self.grey_of is not None:
            grey = self.grey_of(values)
            if self.padding is not None:
                grey[self.padding[rows][:, columns]] = 0
            return grey
        if self.clip is None:
            return values
        low, high = self.clip
        if low == int(low) and high == int(high):
            return np.clip(values, int(low), int(high))
        return np.clip(values.astype(np.float32), np.float32(low), np.float32(high))

    def to_grey(self, linear: Shaped[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
        """Return the grey levels of linear values, or of their means: 0 black to 255 white, unrounded."""
        grey = linear.astype(np.float64)
        grey -= self.black
        grey *= WHITE / (self.white - self.black)
        return np.clip(grey, 0, WHITE, out=grey).astype(np.float32)


def to_levels(stored: Stored, display: Display) -> Levels:
    """Convert stored values to grey levels for display.

    Padding (C.7.5.1.1.2) counts in no statistic and is black. Raises RejectionError (constant_image) where the pixels
    that are not padding have one value or one grey level.
    """
    if stored.low == stored.high:
        raise RejectionError("constant_image", "every pixel that is no padding has the same value")
    present = np.array([stored.low, stored.high])  # the extremes suffice where the chain is monotone
    if isinstance(display.modality, LookupTable) or isinstance(display.voi, LookupTable):
        present = stored.present()
    voi = display.voi or _full_range(modality_values(present, display.modality))

    def grey_of(values: Integer[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
        shown = voi_values(modality_values(values, display.modality), voi)
        return ((1 - shown if display.inverted else shown) * WHITE).astype(np.float32)

    if np.ptp(grey_of(present)) == 0:
        raise RejectionError("constant_image", f"one grey level everywhere after the {display.window}")
    if isinstance(voi, Window) and voi.function != "SIGMOID" and isinstance(display.modality, Rescale):
        linear = _linear_levels(stored, display.modality, voi, display.inverted)
        if linear is not None:
            return linear
    return Levels(stored.values, 0.0, WHITE, None, _looked_up(stored, grey_of), stored.padding)


def _linear_levels(stored: Stored, rescale: Rescale, window: Window, inverted: bool) -> Levels | None:
    """Return stored values that are only clipped to the ends of a linear window; the rest of the chain is linear.

    Returns None where padding must become black, or where float32 is too coarse for a narrow window of large values.
    """
    bottom, top = ((end - rescale.intercept) / rescale.slope for end in window.bounds)  # reversed by a negative slope
    black, white = (top, bottom) if inverted else (bottom, top)
    bottom, top = min(bottom, top), max(bottom, top)
    narrow = top - bottom <= max(-stored.low, stored.high) / _NARROW
    if narrow or stored.padding is not None or stored.values.dtype not in _SUMMED:
        return None
    ends = max(bottom, float(stored.low)), min(top, float(stored.high))
    return Levels(stored.values, black, white, None if ends == (stored.low, stored.high) else ends)


def _looked_up(
    stored: Stored, grey_of: Callable[[Integer[np.ndarray, "..."]], Float32[np.ndarray, "..."]]
) -> Callable[[Integer[np.ndarray, "..."]], Float32[np.ndarray, "..."]]:
    """Return a look-up in a table of the values that occur, or `grey_of` itself where they are too many."""
    first = min(stored.low, 0)
    if stored.high - first >= _TABLE_LIMIT:
        return grey_of
    table = grey_of(np.arange(first, stored.high + 1))

    def looked_up(values: Integer[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
        # "clip" affects padding only, which may lie outside the range.
        return np.take(table, values.astype(np.int64) - first if first else values, mode="clip")

    return looked_up


def _full_range(values: Float64[np.ndarray, "values"]) -> Window:
    """Return the window from the smallest value (black) to the largest (white), for a file without VOI.

    C.11.2 is optional. Raises RejectionError (constant_image) where all values are equal.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise RejectionError("constant_image", "one value everywhere after the Modality LUT")
    return Window((low + high) / 2, high - low, "LINEAR_EXACT")

"""DICOM's grey-scale chain on arrays: stored values to grey levels from 0 (black) to 255 (white).

The steps are the Modality LUT, the VOI LUT and the polarity; the clauses are those of PS3.3. Everything here is a
function of the stored value alone. So a table over the values that occur is computed in float64 and looked up: exact,
and faster than arithmetic on every pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from jaxtyping import Bool, Float32, Float64, Integer, Shaped, UInt16

from .rejection import RejectionError

WHITE = 255.0
VOI_LUT_UNUSABLE = ", VOI LUT unusable"  # end of the text for the column `window`
_BLOCK_ROWS = 128  # small enough for the processor's cache
_TABLE_LIMIT = 2**17  # entries; with more (32-bit values) the chain runs on the pixels themselves
# Values from black to white: few enough for float32 (24 bits), and so many that rounding a mean to one of them changes
# it by less than 255 / 2 / 2,048 = 0.06 grey levels.
_FINE, _WIDE = 2**11, 2**22


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


@dataclass(frozen=True)
class Levels:
    """An image whose values are linear in the grey level, so that it may be resampled before it is scaled."""

    values: Shaped[np.ndarray, "rows columns"]  # uint8, uint16, int16 or float32
    black: float  # the value shown as 0; above `white` where the image is inverted
    white: float  # the value shown as 255

    def to_grey(self, values: Shaped[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
        """Return the grey levels of `values`, 0 black to 255 white, unrounded."""
        grey = values.astype(np.float32)
        if (self.black, self.white) != (0, WHITE):
            grey -= np.float32(self.black)
            grey *= np.float32(WHITE / (self.white - self.black))
        return np.clip(grey, 0, WHITE, out=grey)


def to_levels(
    stored: Integer[np.ndarray, "rows columns"], padding: Bool[np.ndarray, "rows columns"] | None, display: Display
) -> Levels:
    """Convert stored values to grey levels for display.

    Padding (C.7.5.1.1.2) counts in no statistic and is black. Raises RejectionError (constant_image) where the pixels
    that are not padding have one value or one grey level.
    """
    low, high = used_range(stored, padding)
    if low == high:
        raise RejectionError("constant_image", "every pixel that is no padding has the same value")
    present = np.array([low, high])  # the extremes suffice where the chain is monotone; a table need not be
    if isinstance(display.modality, LookupTable) or isinstance(display.voi, LookupTable):
        present = np.unique(stored if padding is None else stored[~padding])
    voi = display.voi or _full_range(modality_values(present, display.modality))

    def grey_of(values: Integer[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
        shown = voi_values(modality_values(values, display.modality), voi)
        return ((1 - shown if display.inverted else shown) * WHITE).astype(np.float32)

    if np.ptp(grey_of(present)) == 0:
        raise RejectionError("constant_image", f"one grey level everywhere after the {display.window}")
    if padding is None and isinstance(voi, Window) and isinstance(display.modality, Rescale):
        linear = _linear_levels(stored, (low, high), display.modality, voi, display.inverted)
        if linear is not None:
            return linear
    return Levels(_looked_up(stored, padding, (low, high), grey_of), 0.0, WHITE)


def _linear_levels(
    stored: Integer[np.ndarray, "rows columns"],
    used: tuple[int, int],
    rescale: Rescale,
    window: Window,
    inverted: bool,
) -> Levels | None:
    """Return stored values that are only clipped to the ends of a linear window; the rest of the chain is linear.

    Values that need no clipping are not even copied. Returns None where the function is not linear, or 16 bits are too
    few to hold the ends of the window and the values between them without rounding.
    """
    if window.function == "SIGMOID" or stored.dtype.itemsize > 2:
        return None
    bottom, top = ((end - rescale.intercept) / rescale.slope for end in window.bounds)  # reversed by a negative slope
    black, white = (top, bottom) if inverted else (bottom, top)
    bottom, top = min(bottom, top), max(bottom, top)
    if bottom <= used[0] and used[1] <= top and _FINE <= top - bottom <= _WIDE:
        return Levels(stored, black, white)
    low, high = max(used[0], floor(bottom)), min(used[1], ceil(top))
    shift = 16 - (high - low).bit_length()
    clipped = [(end - low) * 2**shift for end in (max(bottom, low), min(top, high))]
    if shift < 0 or (top - bottom) * 2**shift < _FINE or any(end != int(end) for end in clipped):
        return None
    if max(abs(bottom - low), abs(top - low)) > _WIDE:
        return None
    values = np.empty(stored.shape, dtype=np.uint16)
    for start in range(0, len(stored), _BLOCK_ROWS):
        block = np.clip(stored[start : start + _BLOCK_ROWS], low, high)
        # Wraps around where int16 is too narrow for the difference, and is right again as uint16.
        out = np.subtract(block, low, out=values[start : start + _BLOCK_ROWS], casting="unsafe")
        out <<= shift
        if clipped != [0, (high - low) * 2**shift]:  # an end of the window lies between two whole numbers
            np.clip(out, int(clipped[0]), int(clipped[1]), out=out)
    return Levels(values, (black - low) * 2**shift, (white - low) * 2**shift)


def _looked_up(
    stored: Integer[np.ndarray, "rows columns"],
    padding: Bool[np.ndarray, "rows columns"] | None,
    used: tuple[int, int],
    grey_of: Callable[[Integer[np.ndarray, "..."]], Float32[np.ndarray, "..."]],
) -> Float32[np.ndarray, "rows columns"]:
    """Return grey levels from a table of the values that occur, or value by value where they are too many."""
    low, high = used
    first = min(low, 0)
    table = grey_of(np.arange(first, high + 1)) if high - first < _TABLE_LIMIT else None
    grey = np.empty(stored.shape, dtype=np.float32)
    for start in range(0, len(stored), _BLOCK_ROWS):
        block, out = stored[start : start + _BLOCK_ROWS], grey[start : start + _BLOCK_ROWS]
        if table is None:
            out[...] = grey_of(block)
        else:  # "clip" affects padding only, which may lie outside low to high
            np.take(table, block.astype(np.int64) - first if first else block, mode="clip", out=out)
    if padding is not None:
        grey[padding] = 0
    return grey


def used_range(
    values: Integer[np.ndarray, "rows columns"], padding: Bool[np.ndarray, "rows columns"] | None
) -> tuple[int, int]:
    """Return the smallest and largest value of the pixels that are not padding; (0, 0) where all are."""
    if padding is None:
        return int(values.min()), int(values.max())
    if padding.all():
        return 0, 0
    limits, used = np.iinfo(values.dtype), ~padding
    return int(values.min(where=used, initial=limits.max)), int(values.max(where=used, initial=limits.min))


def _full_range(values: Float64[np.ndarray, "values"]) -> Window:
    """Return the window from the smallest value (black) to the largest (white), for a file without VOI.

    C.11.2 is optional. Raises RejectionError (constant_image) where all values are equal.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise RejectionError("constant_image", "one value everywhere after the Modality LUT")
    return Window((low + high) / 2, high - low, "LINEAR_EXACT")

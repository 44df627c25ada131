"""DICOM's grey-scale chain on arrays: stored values -> Modality LUT -> VOI LUT -> polarity -> 0 (black) to 255 (white).

The clauses are those of PS3.3. Everything here is a function of the stored value alone, so a table over the values
that occur is computed in float64 and looked up: exact, and faster than arithmetic on every pixel.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Integer, UInt16

from stages.dicom_to_arrow.rejection import RejectionError

WHITE = 255.0
_BLOCK_ROWS = 128  # small enough for the processor's cache
_TABLE_LIMIT = 2**17  # entries; beyond (32-bit values) the chain runs on the pixels themselves


@dataclass(frozen=True)
class Rescale:
    """C.11.1.1.2: output = slope x stored value + intercept."""

    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True)
class LookupTable:
    """C.11.1.1.1 and C.11.2.1.1: `first` maps to entries[0]; values below and beyond take the first and last entry."""

    first: int
    entries: UInt16[np.ndarray, "entries"]
    bits: int  # of an entry: the output range is 0 to 2^bits - 1


@dataclass(frozen=True)
class Window:
    """C.11.2.1.2 (LINEAR) and C.11.2.1.3 (SIGMOID, LINEAR_EXACT), in units of the Modality LUT's output."""

    center: float
    width: float
    function: str = "LINEAR"

    def __str__(self) -> str:
        return f"window {self.center:.10g}/{self.width:.10g} {self.function}"


@dataclass(frozen=True)
class Display:
    """How stored values are meant to be seen."""

    modality: Rescale | LookupTable
    voi: LookupTable | Window | None  # None: from the smallest to the largest value
    inverted: bool

    @property
    def window(self) -> str:
        """What the column `window` of the images says."""
        if self.voi is None:
            return "minmax"
        return "lut" if isinstance(self.voi, LookupTable) else str(self.voi)


def is_inverted(photometric: str, presentation_lut_shape: str) -> bool:
    """Whether the smallest value is white: one inversion, whichever of the two elements asks for it.

    | PhotometricInterpretation | PresentationLUTShape | inverted |
    |---|---|---|
    | MONOCHROME2 | IDENTITY or absent | no |
    | MONOCHROME1 | INVERSE or absent | once |
    | MONOCHROME1 | IDENTITY | once |
    | MONOCHROME2 | INVERSE | once |

    C.7.6.3.1.2: the smallest sample of MONOCHROME1 is white *after* any VOI transformation. C.7.6.1 and C.8.11.1:
    INVERSE says that the output is in P-Values after inversion, and goes with MONOCHROME1, as IDENTITY goes with
    MONOCHROME2. So the two elements state one inversion twice; they are not two inversions. The last two rows
    contradict the standard: of the first the photometric interpretation (type 1, defined without condition) is
    believed, of the second the only reading that INVERSE has.
    """
    return photometric == "MONOCHROME1" or presentation_lut_shape == "INVERSE"


def look_up(values: Float64[np.ndarray, "..."], table: LookupTable) -> Float64[np.ndarray, "..."]:
    """Entries for values; a value between two integers (after a fractional rescale) takes the nearer one."""
    index = np.clip(np.rint(values) - table.first, 0, len(table.entries) - 1).astype(np.int64)
    return table.entries[index].astype(np.float64)


def modality_values(stored: Integer[np.ndarray, "..."], modality: Rescale | LookupTable) -> Float64[np.ndarray, "..."]:
    """Output of the Modality LUT (C.11.1)."""
    values = stored.astype(np.float64)
    if isinstance(modality, LookupTable):
        return look_up(values, modality)
    return values * modality.slope + modality.intercept


def window_values(values: Float64[np.ndarray, "..."], window: Window) -> Float64[np.ndarray, "..."]:
    """A window's output, 0 to 1. The width must be at least 1 for LINEAR, above 0 for the others."""
    center, width = window.center, window.width
    if window.function == "SIGMOID":  # C.11.2.1.3.1
        exponent = np.clip(-4 * (values - center) / width, -700, 700)  # beyond, exp overflows; 1e-304 is 0 here
        return 1 / (1 + np.exp(exponent))
    if window.function == "LINEAR":  # C.11.2.1.2.1
        center, width = center - 0.5, width - 1
    # C.11.2.1.3.2 (LINEAR_EXACT); the limits are tested first, since LINEAR with width 1 is a step
    inside = (values - center) / (width or 1.0) + 0.5
    return np.where(values <= center - width / 2, 0.0, np.where(values > center + width / 2, 1.0, inside.clip(0, 1)))


def voi_values(values: Float64[np.ndarray, "..."], voi: LookupTable | Window) -> Float64[np.ndarray, "..."]:
    """Output of the VOI LUT (C.11.2), 0 to 1 of its range."""
    if isinstance(voi, LookupTable):
        return look_up(values, voi) / (2**voi.bits - 1)
    return window_values(values, voi)


def to_grey(
    stored: Integer[np.ndarray, "rows columns"], padding: Bool[np.ndarray, "rows columns"] | None, display: Display
) -> Float32[np.ndarray, "rows columns"]:
    """Grey levels, 0 black to 255 white, unrounded. Padding (C.7.5.1.1.2) counts in no statistic and is black.

    Raises RejectionError (constant_image) where the pixels that are no padding have one value or one grey level.
    """
    low, high = used_range(stored, padding)
    if low == high:
        raise RejectionError("constant_image", "every pixel that is no padding has the same value")
    present = np.array([low, high])  # the extremes tell all where the chain is monotone; a table may go up and down
    if isinstance(display.modality, LookupTable) or isinstance(display.voi, LookupTable):
        present = np.unique(stored if padding is None else stored[~padding])
    voi = display.voi or _full_range(modality_values(present, display.modality))

    def grey_of(values: Integer[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
        shown = voi_values(modality_values(values, display.modality), voi)
        return ((1 - shown if display.inverted else shown) * WHITE).astype(np.float32)

    if np.ptp(grey_of(present)) == 0:
        raise RejectionError("constant_image", f"one grey level everywhere after the {display.window}")
    first = min(low, 0)
    table = grey_of(np.arange(first, high + 1)) if high - first < _TABLE_LIMIT else None
    grey = np.empty(stored.shape, dtype=np.float32)
    for start in range(0, len(stored), _BLOCK_ROWS):
        block, out = stored[start : start + _BLOCK_ROWS], grey[start : start + _BLOCK_ROWS]
        if table is None:
            out[...] = grey_of(block)
        else:  # "clip" meets padding alone, which may lie outside low to high
            np.take(table, block.astype(np.int64) - first if first else block, mode="clip", out=out)
    if padding is not None:
        grey[padding] = 0
    return grey


def used_range(
    values: Integer[np.ndarray, "rows columns"], padding: Bool[np.ndarray, "rows columns"] | None
) -> tuple[int, int]:
    """Smallest and largest value of the pixels that are no padding; (0, 0) where all are."""
    if padding is None:
        return int(values.min()), int(values.max())
    if padding.all():
        return 0, 0
    limits, used = np.iinfo(values.dtype), ~padding
    return int(values.min(where=used, initial=limits.max)), int(values.max(where=used, initial=limits.min))


def _full_range(values: Float64[np.ndarray, "values"]) -> Window:
    """The smallest value black, the largest white: what is left where a file names no VOI (C.11.2 is optional)."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise RejectionError("constant_image", "one value everywhere after the Modality LUT")
    return Window((low + high) / 2, high - low, "LINEAR_EXACT")

"""Small images, made from a few rows at a time, against the chain at full size and exact means in float64."""

import numpy as np
import pytest
from exact_means import exact_resample
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stages.common.radiographs.display import (
    Display,
    LookupTable,
    Rescale,
    Stored,
    Window,
    modality_values,
    to_levels,
    voi_values,
)
from stages.common.radiographs.radiograph import resample
from stages.common.radiographs.rejection import RejectionError

TYPES = ["uint8", "int8", "uint16", "int16", "int32", "uint32"]
LINEAR = ["LINEAR", "LINEAR_EXACT"]


def picture(seed: int, rows: int, columns: int, low: int, high: int, dtype: str) -> np.ndarray:
    """Values from `low` to `high`, both of which occur: half of the pixels are noise, half a ramp."""
    random = np.random.default_rng(seed)
    values = random.integers(low, high + 1, (rows, columns))
    ramp = np.linspace(low, high, rows * columns).round().reshape(rows, columns)
    values = np.where(random.random((rows, columns)) < 0.5, values, ramp).astype(np.int64)
    values.flat[[0, -1]] = low, high
    return values.astype(dtype)


def whole_picture(values: np.ndarray, padding: np.ndarray | None, display: Display) -> np.ndarray:
    """The chain of PS3.3 on every pixel, in float64."""
    output = modality_values(values, display.modality)
    shown = output if padding is None else output[~padding]
    low, high = float(shown.min()), float(shown.max())
    voi = display.voi or Window((low + high) / 2, high - low, "LINEAR_EXACT")
    grey = voi_values(output, voi) * 255
    grey = 255 - grey if display.inverted else grey
    return grey if padding is None else np.where(padding, 0, grey)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray | None, Display]:
    dtype = draw(st.sampled_from(TYPES))
    limits = np.iinfo(dtype)
    low, high = sorted(draw(st.tuples(*[st.integers(limits.min, limits.max)] * 2)))
    assume(low < high)
    shape = draw(st.integers(1, 300)), draw(st.integers(2, 40))
    values = picture(draw(st.integers(0, 9)), *shape, low, high, dtype)
    padding = None
    if draw(st.booleans()):
        padding = values <= draw(st.integers(low, high))
        assume(not padding.all())
    slope = draw(st.sampled_from([1.0, -1.0, 0.37, 2.5, -1e-3]))
    rescale = Rescale(slope, draw(st.sampled_from([0.0, -1024.0, 37.25])))
    ends = np.array([low, high]) * slope + rescale.intercept
    span = float(np.ptp(ends))
    center = float(ends.min()) + span * draw(st.floats(-0.2, 1.2))
    center = draw(st.sampled_from([center, float(round(center)), round(center) + 0.5]))
    width = draw(st.sampled_from([1.0, 2.0, 7.0, span / 300, span / 50, span / 3, span, 2 * span]))
    window = st.sampled_from([*LINEAR, "SIGMOID"]).map(lambda function: Window(center, max(width, 1.0), function))
    table = st.just(LookupTable(int(center) - 3, np.array([900, 0, 40, 41, 1023], dtype=np.uint16), 10))
    voi = draw(st.none() | window | window | table)
    return values, padding, Display(rescale, voi, draw(st.booleans()))


@given(case=cases(), height=st.integers(1, 60), width=st.integers(1, 60))
@settings(max_examples=200, deadline=None)
def test_a_small_image_is_the_mean_of_the_whole_picture(case, height, width) -> None:
    values, padding, display = case
    exact = whole_picture(values, padding, display)
    assume(np.ptp(exact if padding is None else exact[~padding]) > 1e-3)  # else the image is refused as constant
    levels = to_levels(Stored.of(values, padding), display)
    np.testing.assert_allclose(resample(levels, height, width), exact_resample(exact, height, width), atol=5e-3)
    np.testing.assert_allclose(levels.to_grey(levels.linear()), exact, atol=5e-3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("share", [None, 0.3, 0.301])  # no window, one that clips at whole numbers, and between them
def test_rounded_to_bytes_the_error_is_half_a_grey_level(dtype, share) -> None:
    """Sides that no band divides; 16 bits of full range, of which 144 pixels are added."""
    limits = np.iinfo(dtype)
    values = picture(0, 611, 509, limits.min, limits.max, dtype)
    span = float(limits.max) - limits.min
    voi = share and Window(np.floor(limits.min + span / 2), np.floor(span * share) + (share != 0.3) * 0.3)
    display = Display(Rescale(), voi, inverted=False)
    levels = to_levels(Stored.of(values), display)
    assert levels.grey_of is None  # no look-up
    exact = exact_resample(whole_picture(values, None, display), 51, 43)
    assert np.abs(np.rint(resample(levels, 51, 43)) - exact).max() <= 0.501


@given(case=cases())
@settings(max_examples=60, deadline=None)
def test_the_range_and_the_values_that_occur_are_numpys(case) -> None:
    values, padding, _ = case
    stored = Stored.of(values, padding)
    used = values if padding is None else values[~padding]
    assert (stored.low, stored.high) == (used.min(), used.max())
    np.testing.assert_array_equal(stored.present(), np.unique(used))


@given(case=cases(), count=st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_some_pixels_are_those_of_the_whole_image(case, count) -> None:
    values, padding, display = case
    try:
        levels = to_levels(Stored.of(values, padding), display)
    except RejectionError:
        assume(False)
    rows, columns = (np.arange(count) * side // count for side in values.shape)
    np.testing.assert_array_equal(levels.linear(rows, columns), levels.linear()[np.ix_(rows, columns)])

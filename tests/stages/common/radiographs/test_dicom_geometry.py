"""Square pixels, long side, padding: exact means, planted squares, the resampler as a matrix."""

import numpy as np
import pytest
from exact_means import exact_resample
from hypothesis import given
from hypothesis import strategies as st

from stages.common.radiographs.display import Levels
from stages.common.radiographs.radiograph import content_box, fit_into_square, resample


@given(
    rows=st.integers(1, 5000), columns=st.integers(1, 5000), aspect=st.floats(0.1, 10), size=st.sampled_from([64, 256])
)
def test_content_fills_the_long_side_and_is_centred(rows, columns, aspect, size):
    box = content_box(rows, columns, aspect, size)
    assert max(box.width, box.height) == size
    assert min(box.width, box.height) >= 1
    assert abs(size - box.width - 2 * box.x) <= 1
    assert abs(size - box.height - 2 * box.y) <= 1
    # the proportion on the patient, to half a pixel of the square
    short, long = sorted([rows * aspect, float(columns)])
    assert abs(min(box.width, box.height) - max(short / long * size, 1)) <= 0.5 + 1e-9


def test_the_only_error_is_the_rounding_to_whole_grey_levels():
    grey = np.random.default_rng(0).uniform(0, 255, (96, 64)).astype(np.float32)
    square = fit_into_square(grey, 1.0, 32)
    box = square.content
    assert (box.x, box.y, box.width, box.height) == (5, 0, 21, 32)
    assert np.abs(square.pixels[:, 5:26] - exact_resample(grey, 32, 21)).max() <= 0.501
    assert not square.pixels[:, :5].any()
    assert not square.pixels[:, 26:].any()


@pytest.mark.parametrize(("rows", "columns", "aspect"), [(30, 20, 2.0), (20, 30, 0.5), (40, 40, 1.0)])
def test_non_square_pixels_take_their_place_on_the_patient(rows, columns, aspect):
    box = content_box(rows, columns, aspect, 240)
    height, width = rows * aspect, columns
    assert box.height / box.width == pytest.approx(height / width, rel=0.02)


def test_a_planted_square_lands_where_the_content_box_says():
    grey = np.zeros((300, 200), dtype=np.float32)
    grey[120:180, 50:100] = 255
    square = fit_into_square(grey, 1.0, 150)
    x, y = square.content.x, square.content.y
    scale = square.content.height / 300
    found = np.argwhere(square.pixels > 127)
    np.testing.assert_array_equal(found.min(axis=0), [y + 120 * scale, x + 50 * scale])
    np.testing.assert_array_equal(found.max(axis=0) + 1, [y + 180 * scale, x + 100 * scale])


@given(
    rows=st.integers(1, 60), columns=st.integers(1, 60), height=st.integers(1, 60), width=st.integers(1, 60),
    seed=st.integers(0, 5),
)  # fmt: skip
def test_resampling_agrees_with_its_matrix_form(rows, columns, height, width, seed):
    grey = np.random.default_rng(seed).uniform(0, 255, (rows, columns)).astype(np.float32)
    found = resample(Levels(grey, 0.0, 255.0), height, width)
    np.testing.assert_allclose(found, exact_resample(grey, height, width), atol=1e-3)


@given(value=st.integers(0, 255), rows=st.integers(1, 90), columns=st.integers(1, 90))
def test_a_flat_image_stays_flat(value, rows, columns):
    square = fit_into_square(np.full((rows, columns), value, dtype=np.float32), 1.0, 32)
    box = square.content
    assert (square.pixels[box.y : box.y + box.height, box.x : box.x + box.width] == value).all()

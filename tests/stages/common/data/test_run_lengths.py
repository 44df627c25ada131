"""Masks and run lengths are two writings of the same thing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from stages.common.data.run_lengths import decode, encode

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


@given(mask=masks)
def test_round_trip(mask):
    np.testing.assert_array_equal(decode(encode(mask), *mask.shape), mask)


@given(mask=masks)
def test_runs_are_maximal_ordered_and_cover_the_mask(mask):
    runs = np.array(encode(mask), dtype=int).reshape(-1, 2)
    starts, ends = runs[:, 0], runs.sum(axis=1)
    assert (runs[:, 1] > 0).all()
    assert (starts[1:] > ends[:-1]).all()  # a gap between any two runs: none could be merged
    assert runs[:, 1].sum() == mask.sum()


@given(mask=masks)
def test_encoding_equals_a_walk_over_the_pixels(mask):
    runs, previous = [], False
    for place, pixel in enumerate(mask.ravel()):
        if pixel and not previous:
            runs += [place, 0]
        if pixel:
            runs[-1] += 1
        previous = pixel
    assert encode(mask) == runs


def test_by_hand():
    mask = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1]], dtype=bool)  # a run goes on over the end of a row
    assert encode(mask) == [1, 3, 8, 1]
    assert encode(np.zeros((2, 2), dtype=bool)) == []
    assert encode(np.ones((2, 3), dtype=bool)) == [0, 6]


def test_a_transposed_view_is_read_in_its_own_row_order():
    mask = np.array([[1, 0], [1, 0], [1, 0]], dtype=bool)
    assert encode(mask.T) == [0, 3]


@given(st.integers(-3, 12), st.integers(-3, 12))
def test_runs_outside_the_image_are_refused(start, length):
    inside = start >= 0 and length >= 0 and start + length <= 6
    if inside:
        assert decode([start, length], 2, 3).sum() == length
    else:
        with pytest.raises(ValueError, match="extends beyond the image of 2 x 3 pixels"):
            decode([start, length], 2, 3)


def test_half_a_run_is_refused():
    with pytest.raises(ValueError, match="reshape"):
        decode([1, 2, 3], 2, 3)

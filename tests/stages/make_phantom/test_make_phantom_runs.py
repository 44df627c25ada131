"""SIIM's run lengths against a decoder written from the competition's description."""

import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from stages.make_phantom.relative_runs import encode


def decode_by_steps(runs: str, rows: int, columns: int) -> np.ndarray:
    """Walk through the pixels column by column: skip, paint, skip, paint."""
    mask = np.zeros((rows, columns), bool)
    place, numbers = 0, [int(number) for number in runs.split()]
    for skip, length in zip(numbers[::2], numbers[1::2], strict=True):
        place += skip
        for pixel in range(place, place + length):
            mask[pixel % rows, pixel // rows] = True
        place += length
    return mask


def test_a_mask_drawn_by_hand():
    mask = np.array([[0, 1, 1], [0, 1, 0]], bool)  # columns: 00, 11, 10
    assert encode(mask) == "2 3"
    assert encode(np.eye(3, dtype=bool)) == "0 1 3 1 3 1"
    assert encode(np.zeros((2, 2), bool)) == ""


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_decoding_gives_the_mask_back(mask):
    np.testing.assert_array_equal(decode_by_steps(encode(mask), *mask.shape), mask)

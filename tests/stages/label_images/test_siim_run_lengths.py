"""SIIM's run lengths against a pixel-by-pixel loop, and back from masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from stages.common.data import run_lengths
from stages.label_images.masks import decode_siim
from stages.make_phantom import relative_runs

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def decode_slowly(text: str, rows: int, columns: int) -> np.ndarray:
    """One pixel after the other, walking down each column, as the competition describes its format."""
    numbers = [int(number) for number in text.split()]
    mask = np.zeros((rows, columns), dtype=bool)
    position = 0
    for index, number in enumerate(numbers):
        for _ in range(number):
            if index % 2:
                mask[position % rows, position // rows] = True
            position += 1
    return mask


def encode_siim(mask: np.ndarray) -> str:
    """Relative, column-major run lengths of a mask, pixel by pixel."""
    numbers, gap, run = [], 0, 0
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if mask[row, column]:
                run += 1
            elif run:
                numbers += [gap, run]
                gap, run = 1, 0
            else:
                gap += 1
    return " ".join(str(number) for number in numbers + ([gap, run] if run else []))


def test_written_by_hand():
    # 3 rows x 2 columns, down the columns: skip 1, take 2 (rows 1 and 2 of column 0), skip 1, take 1 (row 1)
    expected = np.array([[0, 0], [1, 1], [1, 0]], dtype=bool)
    assert (decode_siim("1 2 1 1", 3, 2) == expected).all()


@given(MASKS)
def test_round_trip(mask):
    text = encode_siim(mask)
    assert relative_runs.encode(mask) == text  # what the phantom's tables hold
    decoded = decode_siim(text, *mask.shape)
    assert (decoded == mask).all()
    assert (decoded == decode_slowly(text, *mask.shape)).all()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=6), st.integers(1, 9), st.integers(1, 9))
def test_any_runs_agree_with_the_loop_or_leave_the_image(pairs, rows, columns):
    text = " ".join(f"{gap} {length}" for gap, length in pairs)
    if any(length == 0 for _, length in pairs):
        with pytest.raises(ValueError, match=r"or is empty|extends beyond the image"):
            decode_siim(text, rows, columns)
    elif sum(gap + length for gap, length in pairs) <= rows * columns:
        assert (decode_siim(text, rows, columns) == decode_slowly(text, rows, columns)).all()
    else:
        with pytest.raises(ValueError, match="extends beyond the image"):
            decode_siim(text, rows, columns)


@given(MASKS)
def test_both_conventions_hold_the_same_mask(mask):
    """SIIM's relative columns and our own absolute rows, one turned into the other and back."""
    ours = run_lengths.encode(decode_siim(encode_siim(mask), *mask.shape))
    assert relative_runs.encode(run_lengths.decode(ours, *mask.shape)) == encode_siim(mask)


def test_full_size():
    generator = np.random.default_rng(3)
    rows, columns = np.mgrid[:1024, :1024]
    mask = (rows - 300) ** 2 / 90_000 + (columns - 700) ** 2 / 10_000 < 1
    mask &= generator.random(mask.shape) < 0.9
    assert (decode_siim(encode_siim(mask), 1024, 1024) == mask).all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [("1 2 3", "not pairs"), ("1 x", "not whole numbers"), ("1.5 2", "not whole numbers"),
     ("0 2 -1 2", "overlaps the run"), ("1 -2", "or is empty"), ("0 7", "beyond"),
     ("99999999999999999999 1", "beyond"), ("1 0", "or is empty"), ("1_0 1", "not whole numbers"),
     ("\uff11 1", "not whole numbers")],
)  # fmt: skip
def test_nonsense_is_an_error(text, reason):
    with pytest.raises(ValueError, match=reason):
        decode_siim(text, 3, 2)

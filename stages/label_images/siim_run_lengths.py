"""Run lengths as SIIM-ACR distributes them: `gap length gap length ...`, column-major, each gap from the last end."""

import numpy as np
from jaxtyping import Bool


def decode_siim(text: str, rows: int, columns: int) -> Bool[np.ndarray, "rows columns"]:
    """The mask of one row of train-rle.csv.

    Raises ValueError where the text is not pairs of numbers or a run leaves the image of `rows` x `columns` pixels.
    """
    try:
        numbers = [int(number) for number in text.split()]
    except ValueError:
        raise ValueError("the run lengths are not whole numbers") from None
    if len(numbers) % 2:
        raise ValueError("the run lengths are not pairs of gap and length")
    flat = np.zeros(rows * columns, dtype=bool)
    end = 0
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        start, end = end + gap, end + gap + length
        if gap < 0 or length < 0:
            raise ValueError(f"a run of {length} after a gap of {gap} overlaps the run before it, or is none")
        if end > flat.size:
            raise ValueError(f"a run of {length} after a gap of {gap} leaves the image of {rows} x {columns} pixels")
        flat[start:end] = True
    return flat.reshape(columns, rows).T  # column-major: column after column

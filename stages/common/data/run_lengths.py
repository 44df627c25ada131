"""Masks as run lengths `[start, length, ...]`: row-major, 0-based, over the original image."""

import numpy as np
from jaxtyping import Bool


def encode(mask: Bool[np.ndarray, "rows columns"]) -> list[int]:
    """Return the run lengths of the true pixels; an empty list for an empty mask."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.ravel().view(np.uint8), [0]]).astype(np.int8)))
    runs = edges.reshape(-1, 2)  # start, and one past the end
    return np.column_stack([runs[:, 0], runs[:, 1] - runs[:, 0]]).ravel().tolist()


def decode(runs: list[int], rows: int, columns: int) -> Bool[np.ndarray, "rows columns"]:
    """Return the mask of `rows` x `columns`. Raises ValueError where a run leaves the image."""
    mask = np.zeros(rows * columns, dtype=bool)
    for start, length in np.asarray(runs, dtype=np.int64).reshape(-1, 2):
        if start < 0 or length < 0 or start + length > mask.size:
            raise ValueError(f"run {start} {length} extends beyond the image of {rows} x {columns} pixels")
        mask[start : start + length] = True
    return mask.reshape(rows, columns)

"""Masks as SIIM-ACR distributes them: `start length start length ...`, column by column.

Each start is counted from the end of the previous run. An empty mask is an empty string.
"""

import numpy as np
from jaxtyping import Bool


def encode(mask: Bool[np.ndarray, "rows columns"]) -> str:
    """Return relative, column-major run lengths of the true pixels."""
    flat = np.concatenate([[0], mask.T.ravel().view(np.uint8), [0]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(flat))  # start, end, start, end, ...
    return " ".join(map(str, np.diff(edges, prepend=0)))

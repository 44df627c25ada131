"""Labels of one finding, and its region on the stored square image."""

from pathlib import Path

import cv2
import numpy as np
import polars as pl
from jaxtyping import Bool

from ..files.arrow_tables import read_table
from ..files.schemas import LABELS
from .label_matrix import no_label
from .run_lengths import decode


def read_labels(path: Path, finding: str) -> pl.DataFrame:
    """Return the rows of labels.arrow for `finding`. Raises InputError where there are none."""
    table = pl.DataFrame(read_table(path, LABELS))
    rows = table.filter(pl.col("finding") == finding)
    if rows.is_empty():
        raise no_label(path, finding, sorted(table["finding"].unique()))
    return rows


def region(label: dict, rows: int, columns: int) -> Bool[np.ndarray, "{rows} {columns}"]:
    """Return the finding's pixels on the original image: its mask if it has one, else its filled boxes."""
    if label["mask"] is not None:
        return decode(label["mask"], rows, columns)
    filled = np.zeros((rows, columns), dtype=bool)
    for x, y, width, height in label["boxes"]:
        filled[max(0, round(y)) : round(y + height), max(0, round(x)) : round(x + width)] = True
    return filled


def to_stored(
    mask: Bool[np.ndarray, "rows columns"], content_box: list[int], size: int
) -> Bool[np.ndarray, "{size} {size}"]:
    """Map a mask of the original image onto the stored square, by the geometry of dicom_to_arrow."""
    x, y, width, height = content_box
    shrunk = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    stored = np.zeros((size, size), dtype=bool)
    stored[y : y + height, x : x + width] = shrunk >= 0.5
    return stored

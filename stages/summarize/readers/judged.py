"""Radiographs that may be shown beside what zero-shot classification said of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ...common.errors import InputError
from ...common.files.arrow_tables import map_table, read_table
from ...common.files.atomic_files import verify
from ...common.files.schemas import judged_images


@dataclass(frozen=True)
class Judged:
    """A test image with the outcome at the Youden threshold, drawn by seed."""

    image_id: str
    finding: str
    outcome: str  # true_positive | false_positive | false_negative | true_negative
    score: float
    pixels: UInt8[np.ndarray, "size size"]


def read_judged(path: Path) -> list[Judged]:
    """Read the samples of one result. Raises InputError where the schema lacks the images' size."""
    verify(path)
    metadata = map_table(path).schema.metadata or {}
    if b"size" not in metadata:
        raise InputError(f"{path}: its schema does not say the size of the images", remedy="run its stage again")
    size = int(metadata[b"size"])
    return [
        Judged(row["image_id"], row["finding"], row["outcome"], row["score"],
               np.frombuffer(row["pixels"], np.uint8).reshape(size, size))
        for row in read_table(path, judged_images(size)).to_pylist()
    ]  # fmt: skip

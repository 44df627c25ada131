"""Pictures of a heatmap over its radiograph, without the padding; they look as in the report."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from ..common.encoders.dual import to_pixels
from ..common.errors import InputError
from ..common.files.atomic_files import atomic_path
from ..common.radiographs.radiograph import SquareImage
from .arguments import check_output


def write_heatmap(path: Path, square: SquareImage, heatmap: Float[np.ndarray, "grid grid"], phrase: str) -> None:
    """Write the picture as PNG. Raises InputError where `check_picture` does."""
    from ..common.pictures.overlays import Overlay, overlays_png  # matplotlib, which other calls do not need

    check_picture(path)
    values = to_pixels(torch.from_numpy(heatmap).float().reshape(1, -1), len(square.pixels))[0].numpy()
    box = square.content
    inside = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
    grey = square.pixels[inside]
    overlay = Overlay(grey, values[inside], np.ones(grey.shape, dtype=bool))
    encoded = overlays_png({f"\u201c{phrase}\u201d": overlay}, "cosine with the phrase")
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)


def check_picture(path: Path) -> None:
    """Raise InputError where a picture cannot be written, or its name does not end in .png."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: heatmaps are written as PNG only", remedy="use a name that ends in .png")
    check_output(path)

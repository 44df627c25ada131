"""Pictures of a heatmap over its radiograph, without the padding."""

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from ..common.encoders.dual import to_pixels
from ..common.errors import InputError
from ..common.files.atomic_files import atomic_path
from ..common.radiographs.radiograph import SquareImage
from .arguments import check_output

_LONG_SIDE = 768  # of the picture, in pixels; smaller radiographs are enlarged
_OPACITY = 0.6  # where the heatmap is highest; where it is lowest the radiograph stays as it is


def write_heatmap(path: Path, square: SquareImage, heatmap: Float[np.ndarray, "grid grid"]) -> None:
    """Write the picture as PNG. Raises InputError where `check_picture` does."""
    check_picture(path)
    encoded = cv2.imencode(".png", overlay(square, heatmap))[1].tobytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)


def check_picture(path: Path) -> None:
    """Raise InputError where a picture cannot be written, or its name does not end in .png."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: heatmaps are written as PNG only", remedy="use a name that ends in .png")
    check_output(path)


def overlay(square: SquareImage, heatmap: Float[np.ndarray, "grid grid"]) -> UInt8[np.ndarray, "rows columns 3"]:
    """Return the picture in blue, green, red; the heatmap is scaled to its own range."""
    size, box = len(square.pixels), square.content
    values = to_pixels(torch.from_numpy(heatmap).float().reshape(1, -1), size)[0].numpy()
    shares = (values - values.min()) / ((values.max() - values.min()) or 1)
    colours = cv2.applyColorMap(np.rint(255 * (0.15 + 0.85 * shares)).astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = _OPACITY * shares[..., None]
    grey = square.pixels[..., None].astype(np.float32)
    mixed = np.rint((1 - opacity) * grey + opacity * colours).astype(np.uint8)
    content = mixed[box.y : box.y + box.height, box.x : box.x + box.width]
    enlargement = max(1.0, _LONG_SIDE / max(box.width, box.height))
    return cv2.resize(content, None, fx=enlargement, fy=enlargement, interpolation=cv2.INTER_CUBIC)

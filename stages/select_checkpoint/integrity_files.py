"""phi of the chosen checkpoint as files of its own, beside the weights (the paper's Fig. 3a).

    integrity_map.json   phi, centred, as rows of the patch grid from top to bottom, with its scale
    mean_radiograph.png  grey, the encoder's input size: mean of the validation radiographs as the encoder sees them
    integrity_map.png    phi over that mean: red above its own mean, blue below, a patch a square

A variant without phi has none of them. Without `publish_samples`, and of fewer than 20 radiographs (a person might be
told by it), there is no mean, and the picture is phi over grey: what is written here may be shown.
"""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from stages.common.atomic_files import atomic_path, write_record, write_sidecar
from stages.common.image_encoder import grid_of

MAP, MEAN, PICTURE = "integrity_map.json", "mean_radiograph.png", "integrity_map.png"
_FEWEST_OF_A_MEAN = 20
_SIDE = 672  # pixels of the picture; a multiple of 14 and of 12 patches
_ABOVE, _BELOW = (255, 84, 70), (72, 148, 255)  # red, green, blue
_OPACITY = 0.75  # of the patch that is farthest from 0; at 0 the radiograph alone is seen
_NO_RADIOGRAPH = 128.0


def write_integrity_files(
    folder: Path,
    phi: Float[np.ndarray, "patches"],
    mean: Float[np.ndarray, "size size"],
    images: int,
    step: int,
) -> list[Path]:
    """Write the files, each with a side-car, and return them. `mean` is grey 0..1, of so many `images`."""
    grid = grid_of(len(phi))
    square = phi.astype(float).reshape(grid, grid)
    shown = images >= _FEWEST_OF_A_MEAN
    write_record(folder / MAP, {
        "step": step, "grid": grid, "input_size": len(mean), "smallest": float(square.min()),
        "largest": float(square.max()), "standard_deviation": float(square.std()), "phi": square.tolist(),
        "mean_radiograph": {"path": MEAN, "images": images} if shown else None,
    })  # fmt: skip
    grey = np.rint(255 * mean).astype(np.uint8)
    if shown:
        _write_png(folder / MEAN, grey)
    _write_png(folder / PICTURE, map_over(square, grey.astype(float) if shown else np.full(mean.shape, _NO_RADIOGRAPH)))
    return [folder / MAP, *([folder / MEAN] if shown else []), folder / PICTURE]


def map_over(
    square: Float[np.ndarray, "grid grid"], grey: Float[np.ndarray, "size size"]
) -> UInt8[np.ndarray, "side side 3"]:
    """Red, green, blue. Colours are scaled to the largest |phi|; grey is 0..255."""
    extent = np.abs(square).max() or 1.0
    strength = cv2.resize(square / extent, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)[..., None]
    colours = np.where(strength > 0, np.array(_ABOVE, float), np.array(_BELOW, float))
    opacity = _OPACITY * np.abs(strength)
    below = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)[..., None]
    return np.rint((1 - opacity) * below + opacity * colours).astype(np.uint8)


def _write_png(path: Path, pixels: UInt8[np.ndarray, "rows columns *channels"]) -> None:
    encoded = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)
    write_sidecar(path)

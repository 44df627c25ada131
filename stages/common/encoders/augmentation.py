"""Random changes of training images, on any device.

The random numbers are drawn beforehand, so that the changes are a function of a seed. A GPU resamples the whole batch
at once. A processor warps one image after the other while it is in the cache, which is more than ten times as fast as
PyTorch's resampling; both are within a tenth of one of 255 grey levels of the exact result.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from .settings import AugmentationSettings

CROP_DRAWS, AFFINE_DRAWS = 5, 4  # random numbers per image: crop and grey values; rotation, size and shift
DRAWS = CROP_DRAWS + AFFINE_DRAWS


def augment(
    images: UInt8[Tensor, "batch stored stored"],
    size: int,
    settings: AugmentationSettings,
    draw: Float[Tensor, "9 batch"],
) -> Float[Tensor, "batch {size} {size}"]:
    """Return crops resized to `size`, with small changes of geometry, brightness and contrast; grey 0..1.

    The rows of `draw`, uniform on 0..1, are: area of the crop, its position (x, y), contrast, brightness; rotation,
    size, shift (x, y). Outside the image, its border is repeated. Everything is one bilinear resampling, on the device
    of `images`.
    """
    changes = _Changes(
        transform=_transform(settings, draw),
        contrast=1 + settings.contrast * (2 * draw[3] - 1),
        shift=settings.brightness * (2 * draw[4] - 1),
    )
    resample = _warped if images.device.type == "cpu" else _sampled
    return resample(images, size, changes)


class _Changes(NamedTuple):
    """The changes of each image of a batch."""

    transform: Float[Tensor, "batch 2 3"]  # from output to stored positions
    contrast: Float[Tensor, "batch"]
    shift: Float[Tensor, "batch"]  # of grey values 0..1


def _sampled(
    images: UInt8[Tensor, "batch stored stored"], size: int, changes: _Changes
) -> Float[Tensor, "batch {size} {size}"]:
    transform, contrast, shift = changes
    grid = F.affine_grid(transform, [len(images), 1, size, size], align_corners=False)
    grey = images.to(torch.float32).unsqueeze(1) / 255
    cropped = F.grid_sample(grey, grid, align_corners=False, padding_mode="border").squeeze(1)
    return ((cropped - 0.5) * contrast[:, None, None] + 0.5 + shift[:, None, None]).clamp(0, 1)


def _warped(
    images: UInt8[Tensor, "batch stored stored"], size: int, changes: _Changes
) -> Float[Tensor, "batch {size} {size}"]:
    """Return what `_sampled` does, by OpenCV; grey values are scaled first, since weights of pixels add up to 1."""
    transform, contrast, shift = changes
    stored = images.shape[-1]
    # From positions -1 .. 1 to pixels, whose middles are whole numbers: output x is (2 x + 1) / size - 1.
    pixels = transform.double().numpy()
    turns = pixels[:, :, :2] * (stored / size)
    starts = (pixels[:, :, :2].sum(-1) * (1 / size - 1) + pixels[:, :, 2] + 1) * (stored / 2) - 0.5
    matrices = np.concatenate([turns, starts[:, :, np.newaxis]], axis=-1)
    factors, terms = (contrast / 255).numpy(), (0.5 - 0.5 * contrast + shift).numpy()
    out = np.empty((len(images), size, size), dtype=np.float32)
    for image, matrix, factor, term, warped in zip(images.numpy(), matrices, factors, terms, out, strict=True):
        grey = image * factor
        grey += term
        cv2.warpAffine(grey, matrix, (size, size), warped, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                       cv2.BORDER_REPLICATE)  # fmt: skip
        np.clip(warped, 0, 1, out=warped)
    return torch.from_numpy(out)


def _transform(settings: AugmentationSettings, draw: Float[Tensor, "9 batch"]) -> Float[Tensor, "batch 2 3"]:
    """Return the map from output to stored image positions, both in -1 .. 1 from edge to edge."""
    side = (settings.min_area + (1 - settings.min_area) * draw[0]).sqrt()  # of the crop, as a share
    centre = (1 - side) * (2 * draw[1:3] - 1)  # x and y in -1 .. 1, so that the crop stays inside
    turn = math.radians(settings.rotation) * (2 * draw[5] - 1)
    extent = side * (1 + settings.scale * (2 * draw[6] - 1))
    centre = centre + 2 * settings.translation * (2 * draw[7:9] - 1)
    cosine, sine = extent * turn.cos(), extent * turn.sin()
    return torch.stack([torch.stack([cosine, -sine, centre[0]], -1), torch.stack([sine, cosine, centre[1]], -1)], 1)

"""Random changes of training images, on any device.

The random numbers are drawn beforehand, so that the changes are a function of a seed.
"""

import math

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
    grid = F.affine_grid(_transform(settings, draw), [len(images), 1, size, size], align_corners=False)
    grey = images.to(torch.float32).unsqueeze(1) / 255
    cropped = F.grid_sample(grey, grid, align_corners=False, padding_mode="border").squeeze(1)
    contrast = 1 + settings.contrast * (2 * draw[3] - 1)
    shift = settings.brightness * (2 * draw[4] - 1)
    return ((cropped - 0.5) * contrast[:, None, None] + 0.5 + shift[:, None, None]).clamp(0, 1)


def _transform(settings: AugmentationSettings, draw: Float[Tensor, "9 batch"]) -> Float[Tensor, "batch 2 3"]:
    """Return the map from output to stored image positions, both in -1 .. 1 from edge to edge."""
    side = (settings.min_area + (1 - settings.min_area) * draw[0]).sqrt()  # of the crop, as a share
    centre = (1 - side) * (2 * draw[1:3] - 1)  # x and y in -1 .. 1, so that the crop stays inside
    turn = math.radians(settings.rotation) * (2 * draw[5] - 1)
    extent = side * (1 + settings.scale * (2 * draw[6] - 1))
    centre = centre + 2 * settings.translation * (2 * draw[7:9] - 1)
    cosine, sine = extent * turn.cos(), extent * turn.sin()
    return torch.stack([torch.stack([cosine, -sine, centre[0]], -1), torch.stack([sine, cosine, centre[1]], -1)], 1)

"""Random changes of training images, drawn beforehand so that they are a function of a seed."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from stages.common.augmentation_settings import AugmentationSettings


def augment(
    images: UInt8[np.ndarray, "batch stored stored"],
    size: int,
    settings: AugmentationSettings,
    draw: Float[Tensor, "5 batch"],
) -> Float[Tensor, "batch {size} {size}"]:
    """Square crops resized to `size`, with small changes of brightness and contrast; grey 0..1.

    `draw` is uniform on 0..1: size and place (x, y) of the crop, contrast, brightness.
    """
    count = len(images)
    side = (settings.min_area + (1 - settings.min_area) * draw[0]).sqrt()  # of the crop, as a share
    centre = (1 - side) * (2 * draw[1:3] - 1)  # x and y in -1 .. 1, so that the crop stays inside
    transform = torch.zeros(count, 2, 3)
    transform[:, 0, 0] = transform[:, 1, 1] = side
    transform[:, :, 2] = centre.T
    grid = F.affine_grid(transform, [count, 1, size, size], align_corners=False)
    grey = torch.from_numpy(images).to(torch.float32).unsqueeze(1) / 255
    cropped = F.grid_sample(grey, grid, align_corners=False, padding_mode="border").squeeze(1)
    contrast = 1 + settings.contrast * (2 * draw[3] - 1)
    shift = settings.brightness * (2 * draw[4] - 1)
    return ((cropped - 0.5) * contrast[:, None, None] + 0.5 + shift[:, None, None]).clamp(0, 1)

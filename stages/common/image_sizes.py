"""Stored images at the size that a training crops from: never enlarged, and shrunk without aliasing."""

import cv2
import numpy as np
from jaxtyping import UInt8

_MARGIN = 256 / 224  # what crops are drawn from / the encoder's input, as published for images stored at 256


def shrink(images: UInt8[np.ndarray, "batch stored stored"], size: int) -> UInt8[np.ndarray, "batch side side"]:
    """Means over areas, down to 256/224 of the encoder's input `size`; images that are no larger are left alone.

    Crops are resampled bilinearly (augmentation.py), which would alias where they shrink much.
    """
    side = round(size * _MARGIN)
    if images.shape[-1] <= side:
        return images
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images])

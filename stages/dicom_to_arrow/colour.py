"""Colour to grey: luma, unrounded."""

import cv2
import numpy as np
from jaxtyping import Float32, Integer

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: the Y of YBR_FULL (PS3.3 C.7.6.3.1.2) and of JFIF


def luma(rgb: Integer[np.ndarray, "rows columns 3"]) -> Float32[np.ndarray, "rows columns"]:
    """Weighted sum of red, green and blue, unrounded, in blocks of rows (three float32 planes would be large)."""
    grey = np.empty(rgb.shape[:2], dtype=np.float32)
    weights = np.array([_LUMA], dtype=np.float32)
    for start in range(0, len(rgb), 256):
        block = rgb[start : start + 256].astype(np.float32, order="C")
        grey[start : start + 256] = cv2.transform(block, weights).reshape(block.shape[:2])
    return grey

"""What a file holds once it is read: a grey image at its original size, and what is known of it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32


@dataclass(frozen=True)
class Radiograph:
    grey: Float32[np.ndarray, "rows columns"]  # 0 black, 255 white, not rounded
    view: str | None  # PA, AP, ...; None where neither index nor header says
    photometric: str  # PhotometricInterpretation as stored
    window: str  # lut | window C/W FUNCTION | minmax | none
    row_spacing: float | None  # mm between the centres of two rows
    column_spacing: float | None  # mm between the centres of two columns
    pixel_aspect: float = 1.0  # height of a pixel / width of a pixel

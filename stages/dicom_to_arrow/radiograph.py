"""What a file holds once it is read: a grey image at its original size, and what is known of it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from stages.dicom_to_arrow.display import Levels
from stages.dicom_to_arrow.geometry import SquareImage, content_box, place, resample


@dataclass(frozen=True)
class Radiograph:
    levels: Levels  # rows x columns as stored, or fewer where the decoder was asked for fewer
    shape: tuple[int, int]  # rows, columns as stored
    view: str | None  # PA, AP, ...; None where neither index nor header says
    photometric: str  # PhotometricInterpretation as stored
    window: str  # lut | window C/W FUNCTION | minmax | none
    row_spacing: float | None  # mm between the centres of two rows
    column_spacing: float | None  # mm between the centres of two columns
    pixel_aspect: float = 1.0  # height of a pixel / width of a pixel

    @property
    def grey(self) -> Float32[np.ndarray, "rows columns"]:
        """0 black, 255 white, not rounded, at the size of `levels`."""
        return self.levels.grey

    def square(self, size: int) -> SquareImage:
        """Square pixels, long side `size`, black around it: resampled first and scaled to grey then, which is the same
        since the levels are in proportion to the grey."""
        box = content_box(*self.shape, self.pixel_aspect, size)
        return place(self.levels.to_grey(resample(self.levels.values, box.height, box.width)), box, size)

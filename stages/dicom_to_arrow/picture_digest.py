"""What a picture shows, as a digest that does not depend on how it is encoded or on the size that it is stored at.

The digest is SHA-256 over rows, columns and the grey levels at 128 x 128 points of the original, spread evenly, as they
are displayed (0 to 255, rounded). So a picture is found again behind another lossless transfer syntax, a negative that
says so (MONOCHROME1), values shifted by a RescaleIntercept, or another `size`. It is another picture after cropping,
turning, resampling, lossy compression or under another window. Two pictures that agree at all points and differ between
them (a burnt-in mark that is smaller than the distance of the points) count as one.

Points instead of all pixels: the whole picture is never brought to grey (performance: display.py), and 16,384 points of
a radiograph are noise enough that no two exposures agree in all.
"""

import hashlib

import numpy as np
from jaxtyping import Int

from stages.dicom_to_arrow.radiograph import Radiograph

POINTS = 128  # along each axis, at most


def picture_sha256(radiograph: Radiograph) -> str | None:
    """Hex. None where fewer pixels were decoded than the file has (jpeg2000_reduce): how many depends on `size`."""
    values, shape = radiograph.levels.values, radiograph.shape
    if values.shape != shape:
        return None
    points = values[_places(shape[0])][:, _places(shape[1])]  # rows first: whole cache lines
    grey = np.rint(radiograph.levels.to_grey(points)).astype(np.uint8)
    return hashlib.sha256(f"{shape[0]} {shape[1]} ".encode() + grey.tobytes()).hexdigest()


def _places(length: int) -> Int[np.ndarray, "places"]:
    """Middles of equal parts of an axis, at most one a pixel."""
    count = min(POINTS, length)
    return (np.arange(count) * 2 + 1) * length // (2 * count)

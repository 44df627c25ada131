"""Images that were converted as the standard says, and are still doubtful: counted per data set, with a warning each.

A burnt-in mark, a dead pixel or a wrong BitsStored stretches the range of values, and leaves the patient nearly black:
12-bit values in a 16-bit PNG with one pixel of 65,535 occupy 16 of 256 grey levels. The range is therefore measured
between percentiles, which a mark does not reach.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import UInt8

from ..common.radiographs.display import VOI_LUT_UNUSABLE

TAIL = 0.01  # share of the pixels that is left out at each end
# Grey levels. The narrowest of 503 public radiographs (RSNA, COVID-19 Image Data Collection) spans 99; 12 bits shown as
# 16 span at most 16, 14 bits 64.
NARROW = 65

_DOUBTS = {
    "without_view": "name no view and were accepted; set dicom_to_arrow.views_missing: reject",
    "nearly_black": f"hold nearly all pixels within {NARROW} of 256 grey levels; look at them: a burnt-in mark or a "
    "wrong BitsStored may stretch the range",
    "voi_lut_unusable": "have a VOI LUT that contradicts itself; their window was used",
}


def grey_range(content: UInt8[np.ndarray, "rows columns"]) -> int:
    """Return the grey levels between the first and the last percent of the pixels."""
    shares = np.cumsum(np.bincount(content.ravel(), minlength=256)) / content.size
    low, high = np.searchsorted(shares, [TAIL, 1 - TAIL])
    return int(high - low)


def count_doubtful(images: pa.Table, size: int) -> dict[str, int]:
    """Return the number of doubtful images of a table of images, by kind."""
    return {
        "without_view": images["view"].null_count,
        "nearly_black": sum(grey_range(content) < NARROW for content in _contents(images, size)),
        "voi_lut_unusable": pc.sum(pc.ends_with(images["window"], VOI_LUT_UNUSABLE)).as_py() or 0,
    }


def warn_of_doubtful(files: Path, counts: dict[str, int], images: int) -> None:
    """Print one line for each kind of doubtful image that there is."""
    for kind, count in counts.items():
        if count:
            print(f"warning: {files}: {count} of {images} images {_DOUBTS[kind]}", file=sys.stderr)


def _contents(images: pa.Table, size: int) -> Iterator[UInt8[np.ndarray, "rows columns"]]:
    """Yield the pixels of each image without the padding around them."""
    for batch in images.select(["pixels", "content_box"]).to_batches(max_chunksize=256):
        boxes = batch["content_box"].flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
        for pixels, (x, y, width, height) in zip(batch["pixels"], boxes, strict=True):
            square = np.frombuffer(pixels.as_buffer(), dtype=np.uint8).reshape(size, size)
            yield square[y : y + height, x : x + width]

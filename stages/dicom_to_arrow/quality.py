"""Images that were converted as the standard says, and are still doubtful: counted and named per data set.

A burnt-in mark, a dead pixel or a wrong BitsStored stretches the range of values, and leaves the patient nearly black:
12-bit values in a 16-bit PNG with one pixel of 65,535 occupy 16 of 256 grey levels. The range is therefore measured
between percentiles, which a mark does not reach.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import UInt8

from ..common.data.private_sources import how_to_name
from ..common.radiographs.display import VOI_LUT_UNUSABLE

TAIL = 0.01  # share of the pixels that is left out at each end
# Grey levels. The narrowest of 503 public radiographs (RSNA, COVID-19 Image Data Collection) spans 99; 12 bits shown as
# 16 span at most 16, 14 bits 64.
NARROW = 65

_NAMED = 3  # ids in a warning; the manifest has more

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


def find_doubtful(images: pa.Table, size: int) -> dict[str, list[str]]:
    """Return the ids of the doubtful images of a table of images, by kind, in the order of the table."""
    narrow = pa.array([grey_range(content) < NARROW for content in _contents(images, size)], pa.bool_())
    kinds = {
        "without_view": pc.is_null(images["view"]),
        "nearly_black": narrow,
        "voi_lut_unusable": pc.ends_with(images["window"], VOI_LUT_UNUSABLE),
    }
    return {kind: images["image_id"].filter(doubtful).to_pylist() for kind, doubtful in kinds.items()}


def warn_of_doubtful(files: Path, doubtful: Mapping[str, Sequence[str]], images: int) -> None:
    """Print a line for each kind of doubtful image that there is, with the first ids as the index wrote them."""
    for kind, ids in doubtful.items():
        if ids:
            named = ", ".join(ids[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")
            more = f"; `{how} ID` names its file" if (how := how_to_name(files)) else ""
            print(f"warning: {files}: {len(ids)} of {images} images {_DOUBTS[kind]}: {named}{more}", file=sys.stderr)


def _contents(images: pa.Table, size: int) -> Iterator[UInt8[np.ndarray, "rows columns"]]:
    """Yield the pixels of each image without the padding around them."""
    for batch in images.select(["pixels", "content_box"]).to_batches(max_chunksize=256):
        boxes = batch["content_box"].flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
        for pixels, (x, y, width, height) in zip(batch["pixels"], boxes, strict=True):
            square = np.frombuffer(pixels.as_buffer(), dtype=np.uint8).reshape(size, size)
            yield square[y : y + height, x : x + width]

"""The manifest of a data set's images, which lists their shards.

dicom_to_arrow writes it; the image store reads it.
"""

from pydantic import Field

from ..records import Count, Record

DOUBTFUL_NAMED = 20  # images of each doubtful kind that a manifest names


class ShardEntry(Record):
    """One Arrow shard; `path` is relative to the manifest's folder."""

    path: str
    sha256: str
    bytes: Count
    rows: Count
    rejects: Count


class Manifest(Record):
    """Contents of manifest.json: counts of indexed files, images and rejects. Images are squares of `size` pixels."""

    dataset: str
    size: Count
    indexed: Count
    images: Count
    rejects: Count
    without_view: Count = 0  # images that were accepted although nothing names their view (views_missing)
    nearly_black: Count = 0  # images of which nearly all pixels lie within a narrow range of grey levels
    voi_lut_unusable: Count = 0  # images shown by their window, since the VOI LUT beside it contradicts itself
    first_doubtful: dict[str, list[str]] = Field(default_factory=dict)  # kind, as above -> its first 20 image ids
    pictures: Count  # images with a digest of the original picture; JPEG 2000 decoded at reduced size has none
    shards: list[ShardEntry]

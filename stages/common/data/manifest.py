"""The manifest of a data set's images: which shards hold them. dicom_to_arrow writes it, the image store reads it."""

from ..records import Count, Record


class ShardEntry(Record):
    """One Arrow shard; `path` is relative to the manifest's folder."""

    path: str
    sha256: str
    bytes: Count
    rows: Count
    rejects: Count


class Manifest(Record):
    """manifest.json: what was indexed, read and rejected. Images are squares of `size` pixels."""

    dataset: str
    size: Count
    indexed: Count
    images: Count
    rejects: Count
    pictures: Count  # images whose picture has a digest: not where JPEG 2000 was decoded at reduced size
    shards: list[ShardEntry]

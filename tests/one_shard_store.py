"""An image store of one shard, as dicom_to_arrow writes it, and the manifest of any store."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.common.data.manifest import Manifest, ShardEntry
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.common.files.atomic_files import sha256_of
from stages.common.records import write_record


def write_one_shard(folder: Path, dataset: str, size: int, images: Iterable[Mapping[str, Any]]) -> Path:
    """The manifest. An image says its id, its pixels and what is not as usual: a whole square, a patient unknown."""
    usual = {"patient_id": None, "dataset": dataset, "view": None, "content_box": [0, 0, size, size],
             "original_rows": size, "original_columns": size, "row_spacing": None, "column_spacing": None,
             "photometric": "MONOCHROME2", "window": "minmax", "picture_sha256": None, "sex": None, "age": None,
             "instance_uid": None}  # fmt: skip
    rows = [
        usual | {"study_id": image["image_id"], "pixels_sha256": image["image_id"]} | dict(image) for image in images
    ]
    write_rows(folder / "0.arrow", schemas.images(size), rows)
    return write_manifest(folder, dataset, size, [len(rows)])


def write_manifest(folder: Path, dataset: str, size: int, rows: Sequence[int]) -> Path:
    """The manifest of the shards 0.arrow, 1.arrow, ... in `folder`, which have so many rows; nothing was rejected."""
    shards = [(folder / f"{number}.arrow", count) for number, count in enumerate(rows)]
    entries = [
        ShardEntry(path=path.name, sha256=sha256_of(path), bytes=path.stat().st_size, rows=count, rejects=0)
        for path, count in shards
    ]
    images, path = sum(rows), folder / "manifest.json"
    write_record(path, Manifest(dataset=dataset, size=size, indexed=images, images=images, rejects=0, pictures=images,
                                shards=entries))  # fmt: skip
    return path

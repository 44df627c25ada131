"""An image store of one shard, as dicom_to_arrow writes it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.common.files.atomic_files import write_record


def write_one_shard(folder: Path, dataset: str, size: int, images: Iterable[Mapping[str, Any]]) -> Path:
    """The manifest. An image says its id, its pixels and what is not as usual: a whole square, a patient unknown."""
    usual = {"patient_id": None, "dataset": dataset, "view": None, "content_box": [0, 0, size, size],
             "original_rows": size, "original_columns": size, "row_spacing": None, "column_spacing": None,
             "photometric": "MONOCHROME2", "window": "minmax", "picture_sha256": None,
             "instance_uid": None}  # fmt: skip
    rows = [
        usual | {"study_id": image["image_id"], "pixels_sha256": image["image_id"]} | dict(image) for image in images
    ]
    digest = write_rows(folder / "0.arrow", schemas.images(size), rows)
    shards = [{"path": "0.arrow", "sha256": digest, "rows": len(rows)}]
    counts = {"indexed": len(rows), "images": len(rows), "rejects": 0}
    write_record(folder / "manifest.json", {"dataset": dataset, "size": size, "shards": shards} | counts)
    return folder / "manifest.json"

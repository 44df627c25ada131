"""Positives whose place is not known, or too small to show, are left out and counted."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from stages.common import schemas
from stages.common.arrow_tables import write_rows
from stages.common.atomic_files import write_json, write_sidecar
from stages.common.errors import InputError
from stages.common.image_store import ImageStore
from stages.common.run_lengths import encode
from stages.phrase_grounding.located_images import locate

SIZE, ORIGINAL = 16, 160  # ten original pixels a stored one, each way
SOURCE = Path("results/label_images/ours/labels.arrow")


@pytest.fixture
def store(tmp_path) -> ImageStore:
    images = [
        {"image_id": f"i{number}", "study_id": f"i{number}", "patient_id": None, "dataset": "ours", "view": None,
         "pixels": bytes([number]) * SIZE**2, "content_box": [0, 0, SIZE, SIZE], "original_rows": ORIGINAL,
         "original_columns": ORIGINAL, "row_spacing": None, "column_spacing": None, "photometric": "MONOCHROME2",
         "window": "minmax", "picture_sha256": None, "pixels_sha256": str(number), "instance_uid": None}
        for number in range(6)
    ]  # fmt: skip
    digest = write_rows(tmp_path / "0.arrow", schemas.images(SIZE), images)
    shards = [{"path": "0.arrow", "sha256": digest, "rows": len(images)}]
    counts = {"indexed": len(images), "images": len(images), "rejects": 0}
    write_json(tmp_path / "manifest.json", {"dataset": "ours", "size": SIZE, "shards": shards} | counts)
    write_sidecar(tmp_path / "manifest.json")
    return ImageStore(tmp_path / "manifest.json")


def label(number: int, boxes=(), mask=None, target: int = 1, split: str = "test") -> dict:
    return {"image_id": f"i{number}", "patient_id": f"p{number}", "finding": "nodule", "split": split,
            "target": target, "boxes": list(boxes), "mask": mask, "lung_mask": None}  # fmt: skip


def labels(*rows: dict) -> pl.DataFrame:
    types = {"boxes": pl.List(pl.List(pl.Float32)), "mask": pl.List(pl.Int32), "lung_mask": pl.List(pl.Int32)}
    return pl.DataFrame(list(rows), schema_overrides=types)


LARGE, SMALL = [40.0, 40.0, 50.0, 50.0], [42.0, 42.0, 4.0, 4.0]


def test_what_cannot_be_pointed_at_is_counted(store) -> None:
    mask = np.zeros((ORIGINAL, ORIGINAL), dtype=bool)
    mask[100:140, 20:60] = True
    rows = [label(0, [LARGE]), label(1), label(2, [SMALL]), label(3, mask=encode(mask)), label(4),
            label(5, [LARGE], target=0), label(5, [LARGE], split="train")]  # fmt: skip
    found = locate(labels(*rows), store, "test", SOURCE)
    assert found.labels["image_id"].to_list() == ["i0", "i3"]
    assert found.counts() == {"positives": 5, "positives_without_region": 2, "regions_too_small": 1}
    assert found.pixels[:, 0, 0].tolist() == [0, 3]
    assert [int(each.sum()) for each in found.regions] == [25, 16]
    assert found.on_named_side().counts() == found.counts()


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([label(0), label(1)], r"none of 2 test images .*\(2 without box or mask, 0 too small"),
        ([label(0), label(1, [SMALL])], r"none of 2 test images .*\(1 without box or mask, 1 too small"),
        ([label(0, [LARGE], target=0)], "none of 0 test images"),
    ],
)
def test_none_at_all_is_one_line_with_the_file(store, rows: list[dict], reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        locate(labels(*rows), store, "test", SOURCE)
    assert str(caught.value).startswith(f"{SOURCE}: ")
    assert "give label_images boxes or masks" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_label_of_an_image_that_is_not_stored_is_an_error(store) -> None:
    with pytest.raises(InputError, match="image i9 is no image of ours"):
        locate(labels(label(0, [LARGE]), label(9, [LARGE])), store, "test", SOURCE)

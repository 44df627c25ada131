"""Positives whose place is not known, or too small to show, are left out and counted."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from one_shard_store import write_one_shard

from stages.common.data.image_store import ImageStore
from stages.common.data.run_lengths import encode
from stages.common.errors import InputError
from stages.phrase_grounding.located_images import locate

SIZE, ORIGINAL = 16, 160  # ten original pixels a stored one, each way
SOURCE = Path("results/label_images/ours/labels.arrow")


@pytest.fixture
def store(tmp_path) -> ImageStore:
    images = (
        {"image_id": f"i{number}", "pixels": bytes([number]) * SIZE**2, "original_rows": ORIGINAL,
         "original_columns": ORIGINAL}
        for number in range(6)
    )  # fmt: skip
    return ImageStore(write_one_shard(tmp_path, "ours", SIZE, images))


def label(number: int, boxes=(), mask=None, target: int = 1, split: str = "test") -> dict:
    return {"image_id": f"i{number}", "patient_id": f"p{number}", "finding": "nodule", "split": split,
            "target": target, "boxes": list(boxes), "mask": mask, "lung_mask": None,
            "sex": None, "age": None, "view": None}  # fmt: skip


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
    with pytest.raises(InputError, match="image i9 is not in the data set ours"):
        locate(labels(label(0, [LARGE]), label(9, [LARGE])), store, "test", SOURCE)

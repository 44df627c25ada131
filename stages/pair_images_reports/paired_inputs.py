"""The two sides of a pair as tables: images with the distributed split, reports with their text and their size."""

from pathlib import Path

import polars as pl
import pyarrow as pa

from stages.common.errors import InputError
from stages.common.image_store import ImageStore

_IMAGE_COLUMNS = [
    "image_id",
    "study_id",
    "patient_id",
    "dataset",
    "view",
    "original_rows",
    "original_columns",
    "pixels_sha256",
]


def read_images(store: ImageStore, files: pa.Table, files_path: Path) -> pl.DataFrame:
    """Images in store order: `_IMAGE_COLUMNS` and distributed_split. Every image stands in `files`."""
    images = pl.from_arrow(store.table.select(_IMAGE_COLUMNS))
    splits = pl.from_arrow(files.select(["image_id", "distributed_split"]))
    joined = images.join(splits, on="image_id", how="inner", maintain_order="left")
    if len(joined) != len(images):
        foreign = images.join(splits, on="image_id", how="anti")["image_id"]
        raise InputError(f"{files_path}: image {foreign[0]} is not indexed; give the table of the same data set")
    return joined


def read_sentences(sentences: pa.Table) -> pl.DataFrame:
    """Sentences in the order of their reports' ids: study_id, text, pieces (their number of word pieces)."""
    table = pl.from_arrow(sentences.select(["study_id", "position", "text", "token_ids"]))
    pieces = pl.col("token_ids").list.len().alias("pieces")
    return table.select("study_id", "position", "text", pieces).sort("study_id", "position").drop("position")


def join_reports(sentences: pl.DataFrame) -> pl.DataFrame:
    """Reports in the order of their ids: study_id, and the sentences of `read_sentences` joined as text."""
    return sentences.group_by("study_id", maintain_order=True).agg(pl.col("text").str.join("\n"))

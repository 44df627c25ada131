"""Phrases of a data set as queries: each pair of an image and a sentence of its report points at its own boxes.

This is how MS-CXR is measured (Boecking et al., ECCV 2022). The sentences are never written, nor named in an error.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from ..common.data.image_store import ImageStore
from ..common.encoders.dual import Checkpoint, to_pixels
from ..common.errors import InputError
from ..common.files.arrow_tables import read_table
from ..common.files.schemas import LABELS, PHRASES
from ..common.settings import Precision
from .contract import LocatedPhrases
from .heatmaps import pair_cosines
from .located_images import Located
from .prompt_sets import Grounded, measured


def read_phrases(path: Path, labels: Path) -> pl.DataFrame:
    """Return the phrases as rows that can be located, as those of LABELS; one per pair, with its number as `pair`."""
    rows = pl.DataFrame(read_table(path, PHRASES)).with_row_index("pair")
    unit = ["image_id", "finding", "split"]
    lungs = pl.DataFrame(read_table(labels, LABELS)).select(*unit, "lung_mask")
    mask = pl.lit(None, dtype=pl.List(pl.Int32))  # a phrase has boxes
    return rows.join(lungs, on=unit, how="left", maintain_order="left").with_columns(target=1, mask=mask)


class PhraseMaps:
    """Maps of all pairs of the validation and test parts, each of an image's patches with its own phrase."""

    def __init__(
        self, checkpoint: Checkpoint, store: ImageStore, phrases: pl.DataFrame, source: Path, precision: Precision
    ) -> None:
        asked = phrases.filter(pl.col("split") != "train")
        for image, phrase in asked.select("image_id", "phrase").iter_rows():
            if not checkpoint.tokenizer.encode(phrase, add_special_tokens=False).ids:
                raise InputError(f"{source}: a phrase of image {image} has no word pieces", "correct it in the table")
        self._row = {pair: row for row, pair in enumerate(asked["pair"])}
        images, texts = asked["image_id"].to_list(), asked["phrase"].to_list()
        self._cosines = pair_cosines(checkpoint, store, images, texts, precision)
        self._size = store.size

    def of(self, parts: Mapping[str, Located], draws: int, seed: int) -> Grounded:
        """Measure the pairs of one finding; `parts` has test, and train and validation where they have pairs."""
        maps = {
            part: to_pixels(self._cosines[[self._row[pair] for pair in own.labels["pair"]]], self._size).numpy()
            for part, own in parts.items()
            if part != "train"
        }
        return measured(maps, parts, (), draws, seed)


def counts_of(test: Located) -> LocatedPhrases:
    """Return how many pairs of the test part are measured, and how many are left out."""
    return LocatedPhrases(
        pairs=len(test.labels), images=test.labels["image_id"].n_unique(), regions_too_small=test.too_small
    )

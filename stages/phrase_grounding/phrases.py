"""Phrases of a data set as queries: each pair of an image and a sentence of its report points at its own boxes.

This is how MS-CXR is measured (Boecking et al., ECCV 2022). The sentences are never written, nor named in an error.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from tokenizers import Tokenizer

from ..common.data.prompts import PromptSet
from ..common.errors import InputError
from ..common.files.arrow_tables import read_table
from ..common.files.schemas import LABELS, PHRASES
from .contract import PHRASES as PHRASES_SET
from .contract import LocatedPhrases
from .located_images import Located
from .pointers import Pointers
from .prompt_sets import Grounded, measured


def read_phrases(path: Path, labels: Path) -> pl.DataFrame:
    """Return the phrases as rows that can be located, as those of LABELS; one per pair, with its number as `pair`."""
    rows = pl.DataFrame(read_table(path, PHRASES)).with_row_index("pair")
    unit = ["image_id", "finding", "split"]
    lungs = pl.DataFrame(read_table(labels, LABELS)).select(*unit, "lung_mask")
    mask = pl.lit(None, dtype=pl.List(pl.Int32))  # a phrase has boxes
    return rows.join(lungs, on=unit, how="left", maintain_order="left").with_columns(target=1, mask=mask)


def ground_phrases(pointers: Pointers, finding: str, parts: Mapping[str, Located], draws: int, seed: int) -> Grounded:
    """Measure the pairs of one finding, each image with its own phrase; `parts` has test, and others with pairs."""
    prompts = {part: [PromptSet(positive=[phrase]) for phrase in own.labels["phrase"]]
               for part, own in parts.items() if part != "train"}  # fmt: skip
    pointed = pointers.at(finding, parts, {PHRASES_SET: prompts})
    return measured(pointed[PHRASES_SET], parts, (), draws, seed)


def refuse_empty_phrases(phrases: pl.DataFrame, tokenizer: Tokenizer, source: Path) -> None:
    """Raise an InputError, which names the image, for a phrase to be measured that has no word pieces."""
    for image, phrase in phrases.filter(pl.col("split") != "train").select("image_id", "phrase").iter_rows():
        if not tokenizer.encode(phrase, add_special_tokens=False).ids:
            raise InputError(f"{source}: a phrase of image {image} has no word pieces", "correct it in the table")


def counts_of(test: Located) -> LocatedPhrases:
    """Return how many pairs of the test part are measured, and how many are left out."""
    return LocatedPhrases(
        pairs=len(test.labels), images=test.labels["image_id"].n_unique(), regions_too_small=test.too_small
    )

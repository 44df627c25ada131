"""Scores of prompt sets: cosines with the prompts that affirm, less those that deny; of whole images, as embedded."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from jaxtyping import Float

from ..data.prompts import PromptSet
from ..errors import InputError
from ..files.arrow_tables import read_table
from ..files.schemas import features
from .dual import Checkpoint, DualEncoder, mean_embeddings

Key = TypeVar("Key", bound=Hashable)  # of a prompt set


def prompt_scores(
    checkpoint: Checkpoint, sets: Mapping[Key, PromptSet], embeddings: Float[np.ndarray, "images embedding"]
) -> dict[Key, Float[np.ndarray, "images"]]:
    """Return cos(image, affirming) - cos(image, denying) for every set; without denying prompts the first alone.

    Embeddings are unit vectors. Each side is the normalised mean of its prompts; a prompt of several sets is embedded
    once.
    """
    sides = [(name, side) for name, each in sets.items() for side in ("positive", "negative") if getattr(each, side)]
    means = mean_embeddings(checkpoint, [getattr(sets[name], side) for name, side in sides])
    found = dict(zip(sides, means.cpu().numpy() @ embeddings.T, strict=True))
    return {name: found[name, "positive"] - found.get((name, "negative"), 0) for name in sets}


def embeddings_of(labels: pl.DataFrame, path: Path, model: DualEncoder) -> Float[np.ndarray, "images embedding"]:
    """Return the embeddings of the labelled images, in the labels' order.

    Raises InputError where one is missing or not finite.
    """
    table = read_table(path, features(model.settings.embedding_width, model.image.width))
    joined = labels.join(pl.DataFrame(table), on="image_id", how="left", maintain_order="left")
    lacking = joined.filter(pl.col("embedding").is_null())["image_id"]
    if len(lacking):
        raise InputError(
            f"{path}: lacks {len(lacking)} labelled images (first: {lacking[0]})", remedy="run extract_features again"
        )
    embeddings = np.stack(list(joined["embedding"].to_numpy()))
    wrong = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(wrong):
        raise InputError(
            f"{path}: embeddings of {len(wrong)} images (first: {joined['image_id'][int(wrong[0])]}) are not finite",
            remedy="the training of this variant diverged: lower its learning rate and run it again",
        )
    return embeddings

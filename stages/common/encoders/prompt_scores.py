"""Scores of prompt sets: cosines with the prompts that affirm, less those that deny; of whole images, as embedded."""

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import polars as pl
import torch
from jaxtyping import Float

from ..data.prompts import PromptSet
from ..errors import InputError
from ..files.arrow_tables import read_table
from ..files.schemas import features
from .dual import Checkpoint, DualEncoder, mean_embeddings

Key = TypeVar("Key", bound=Hashable)  # of a prompt set


def contrasts(
    checkpoint: Checkpoint,
    sets: Mapping[Key, PromptSet],
    scores_with: Callable[[Float[torch.Tensor, "prompts embedding"]], Float[np.ndarray, "images prompts"]],
    of: Literal["report", "sentence"],
) -> dict[Key, Float[np.ndarray, "images"]]:
    """Return the score with the affirming prompts of every set less that with its denying ones, if it has any.

    `scores_with` compares images with the normalised mean of the prompts of each side. A prompt that stands in several
    sets is embedded once.
    """
    sides = [(name, side) for name, each in sets.items() for side in ("positive", "negative") if getattr(each, side)]
    means = mean_embeddings(checkpoint, [getattr(sets[name], side) for name, side in sides], of=of)
    found = dict(zip(sides, scores_with(means).T, strict=True))
    return {name: found[name, "positive"] - found.get((name, "negative"), 0) for name in sets}


def prompt_scores(
    checkpoint: Checkpoint, sets: Mapping[Key, PromptSet], embeddings: Float[np.ndarray, "images embedding"]
) -> dict[Key, Float[np.ndarray, "images"]]:
    """Return cos(image, affirming) - cos(image, denying) for every set; embeddings are unit vectors."""
    return contrasts(checkpoint, sets, lambda means: embeddings @ means.cpu().numpy().T, of="report")


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

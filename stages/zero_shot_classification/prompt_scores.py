"""Zero-shot scores: how much nearer an image lies to the prompts that affirm a finding than to those that deny it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from stages.common.arrow_tables import read_table
from stages.common.dual_encoder import Checkpoint, DualEncoder
from stages.common.errors import InputError
from stages.common.prompt_similarity import mean_embeddings
from stages.common.prompts import PromptSet
from stages.common.schemas import features


def prompt_scores(
    checkpoint: Checkpoint, sets: Mapping[str, PromptSet], embeddings: Float[np.ndarray, "images embedding"]
) -> dict[str, Float[np.ndarray, "images"]]:
    """Of every set cos(image, affirming) - cos(image, denying), each the normalised mean of its prompts' embeddings.

    Embeddings are unit vectors; a set without denying prompts scores the affirming ones alone. A prompt that stands in
    several sets is embedded once.
    """
    sides = [(name, side) for name, each in sets.items() for side in ("positive", "negative") if getattr(each, side)]
    means = mean_embeddings(checkpoint, [getattr(sets[name], side) for name, side in sides])
    cosines = dict(zip(sides, (embeddings @ means.cpu().numpy().T).T, strict=True))
    return {name: cosines[name, "positive"] - cosines.get((name, "negative"), 0) for name in sets}


def embeddings_of(labels: pl.DataFrame, path: Path, model: DualEncoder) -> Float[np.ndarray, "images embedding"]:
    """Embeddings of the labelled images, in the labels' order; one that lacks is an error."""
    table = read_table(path, features(model.settings.embedding_width, model.image.width))
    joined = labels.join(pl.from_arrow(table), on="image_id", how="left", maintain_order="left")
    lacking = joined.filter(pl.col("embedding").is_null())["image_id"]
    if len(lacking):
        raise InputError(
            f"{path}: lacks {len(lacking)} labelled images (first: {lacking[0]}); run extract_features again"
        )
    embeddings = np.stack(joined["embedding"].to_numpy())
    wrong = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(wrong):
        raise InputError(
            f"{path}: embeddings of {len(wrong)} images (first: {joined['image_id'][int(wrong[0])]}) are not finite; "
            "the training of this variant diverged: lower its learning rate and run it again"
        )
    return embeddings

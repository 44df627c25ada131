"""Zero-shot scores: how much nearer an image lies to the prompts that affirm a finding than to those that deny it."""

from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from stages.common.arrow_tables import read_table
from stages.common.dual_encoder import Checkpoint, DualEncoder
from stages.common.errors import InputError
from stages.common.prompt_similarity import mean_embedding
from stages.common.prompts import PromptSet
from stages.common.schemas import features


def prompt_scores(
    checkpoint: Checkpoint, prompts: PromptSet, embeddings: Float[np.ndarray, "images embedding"]
) -> Float[np.ndarray, "images"]:
    """cos(image, affirming) - cos(image, denying), each the normalised mean of its prompts' embeddings.

    Embeddings are unit vectors; a set without denying prompts scores the affirming ones alone.
    """
    scores = embeddings @ mean_embedding(checkpoint, prompts.positive).cpu().numpy()
    if prompts.negative:
        scores = scores - embeddings @ mean_embedding(checkpoint, prompts.negative).cpu().numpy()
    return scores


def embeddings_of(labels: pl.DataFrame, path: Path, model: DualEncoder) -> Float[np.ndarray, "images embedding"]:
    """Embeddings of the labelled images, in the labels' order; one that lacks is an error."""
    table = read_table(path, features(model.settings.embedding_width, model.image.width))
    joined = labels.join(pl.from_arrow(table), on="image_id", how="left", maintain_order="left")
    if lacking := joined["embedding"].null_count():
        raise InputError(f"{path}: lacks {lacking} labelled images; run extract_features again")
    return np.stack(joined["embedding"].to_numpy())

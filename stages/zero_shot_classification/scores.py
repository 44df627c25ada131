"""Scores of every labelled image by the kind that the settings name."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from stages.common.dual_encoder import Checkpoint
from stages.common.image_store import ImageStore
from stages.common.prompts import PromptSet
from stages.zero_shot_classification.local_scores import local_scores
from stages.zero_shot_classification.prompt_scores import embeddings_of, prompt_scores
from stages.zero_shot_classification.settings import ZeroShotSettings


def scores_of(
    checkpoint: Checkpoint,
    sets: Mapping[str, PromptSet],
    labels: pl.DataFrame,
    source: Path,
    settings: ZeroShotSettings,
) -> dict[str, Float[np.ndarray, "images"]]:
    """Of every prompt set, in the labels' order. `source`: the images' manifest (local) or features.arrow (global)."""
    if settings.score == "local":
        image_ids = labels["image_id"].to_list()
        return local_scores(checkpoint, sets, ImageStore(source), image_ids, settings.patch_share, settings.batch_size)
    return prompt_scores(checkpoint, sets, embeddings_of(labels, source, checkpoint.model))

"""Zero-shot scores: how much closer an image is to the prompts that affirm a finding than to those that deny it.

Global scores compare the whole image with the prompts. Local scores compare its patches, so that a small finding is not
averaged away (cf. the paper's Fig. 3b).
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import torch
from jaxtyping import Float

from ..common.data.image_store import ImageStore
from ..common.data.prompts import PromptSet
from ..common.encoders.dual import Checkpoint, DualEncoder, mean_embeddings
from ..common.errors import InputError
from ..common.files.arrow_tables import read_table
from ..common.files.schemas import features
from .contract import ZeroShotSettings

Key = TypeVar("Key", bound=Hashable)  # of a prompt set


def prompt_scores(
    checkpoint: Checkpoint, sets: Mapping[Key, PromptSet], embeddings: Float[np.ndarray, "images embedding"]
) -> dict[Key, Float[np.ndarray, "images"]]:
    """Return cos(image, affirming) - cos(image, denying) for every set.

    Each of the two is the normalised mean of its prompts' embeddings. Embeddings are unit vectors; a set without
    denying prompts scores the affirming ones alone. A prompt that stands in several sets is embedded once.
    """
    sides = [(name, side) for name, each in sets.items() for side in ("positive", "negative") if getattr(each, side)]
    means = mean_embeddings(checkpoint, [getattr(sets[name], side) for name, side in sides])
    cosines = dict(zip(sides, (embeddings @ means.cpu().numpy().T).T, strict=True))
    return {name: cosines[name, "positive"] - cosines.get((name, "negative"), 0) for name in sets}


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


@torch.inference_mode()
def local_scores(
    checkpoint: Checkpoint,
    sets: Mapping[Key, PromptSet],
    store: ImageStore,
    image_ids: Sequence[str],
    patch_share: float,
    batch_size: int,
) -> dict[Key, Float[np.ndarray, "images"]]:
    """Return one score per prompt set and image: m(affirming) - m(denying), or m(affirming) without denying prompts.

    m compares an image's patches with the normalised mean of the prompts' sentence embeddings. It is the mean of the
    largest cosines: `patch_share` of the grid, and at least one patch. Images and prompts are embedded once for all
    sets.
    """
    prompts = [(name, side) for name, each in sets.items() for side in ("positive", "negative") if getattr(each, side)]
    directions = mean_embeddings(checkpoint, [getattr(sets[name], side) for name, side in prompts], of="sentence")
    rows = np.array([store.row_of(image_id) for image_id in image_ids])
    model, parts = checkpoint.model, []
    for stored in store.batches(rows, batch_size):
        tokens = model.patch_tokens(model.input_of(stored))
        parts.append(mean_of_largest(model.embed_patches(tokens) @ directions.T, patch_share).cpu().numpy())
    found = dict(zip(prompts, np.concatenate(parts).T, strict=True))
    return {name: found[name, "positive"] - found.get((name, "negative"), 0) for name in sets}


def mean_of_largest(
    cosines: Float[torch.Tensor, "images patches prompts"], share: float
) -> Float[torch.Tensor, "images prompts"]:
    """Return the mean of the largest `share` of the patches, at least one of them."""
    kept = max(1, round(share * cosines.shape[1]))
    return cosines.topk(kept, dim=1).values.mean(dim=1)


def scores_of(
    checkpoint: Checkpoint,
    sets: Mapping[Key, PromptSet],
    images: pl.DataFrame,
    source: Path,
    settings: ZeroShotSettings,
) -> dict[Key, Float[np.ndarray, "images"]]:
    """Return the scores of every prompt set, in the order of `images`, which has image_id.

    `source` is the images' manifest (local) or features.arrow (global).
    """
    if settings.score == "local":
        image_ids = images["image_id"].to_list()
        return local_scores(checkpoint, sets, ImageStore(source), image_ids, settings.patch_share, settings.batch_size)
    return prompt_scores(checkpoint, sets, embeddings_of(images, source, checkpoint.model))

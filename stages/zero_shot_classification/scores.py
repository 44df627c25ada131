"""Zero-shot scores: how much closer an image is to the prompts that affirm a finding than to those that deny it.

Global scores compare the whole image with the prompts. Local scores compare its patches, so that a small finding is not
averaged away (cf. the paper's Fig. 3b).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Float

from ..common.data.image_store import ImageStore
from ..common.data.prompts import PromptSet
from ..common.encoders.dual import Checkpoint
from ..common.encoders.prompt_scores import Key, contrasts, embeddings_of, prompt_scores
from ..common.inference.encoding import choose_precision, in_batches, joined, token_batches
from ..common.journal.tracking import Run
from ..common.settings import Precision
from .contract import ZeroShotSettings


@torch.inference_mode()
def local_scores(
    checkpoint: Checkpoint,
    sets: Mapping[Key, PromptSet],
    store: ImageStore,
    image_ids: Sequence[str],
    patch_share: float,
    batch_size: int,
    precision: Precision = "fp32",
) -> dict[Key, Float[np.ndarray, "images"]]:
    """Return one score per prompt set and image: m(affirming) - m(denying), or m(affirming) without denying prompts.

    m compares an image's patches with the normalised mean of the prompts' sentence embeddings. It is the mean of the
    largest cosines: `patch_share` of the grid, and at least one patch. Images and prompts are embedded once for all
    sets.
    """
    model, batches = checkpoint.model, in_batches([store.row_of(image_id) for image_id in image_ids], batch_size)

    def scores_with(
        directions: Float[torch.Tensor, "prompts embedding"],
    ) -> Float[np.ndarray, "images prompts"]:
        tokens = token_batches(model, store.gather, batches, precision)
        scores = (mean_of_largest(model.embed_patches(each) @ directions.T, patch_share) for each in tokens)
        return joined(scores).numpy()

    return contrasts(checkpoint, sets, scores_with, of="sentence")


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
    run: Run,
) -> dict[Key, Float[np.ndarray, "images"]]:
    """Return the scores of every prompt set, in the order of `images`, which has image_id.

    `source` is the images' manifest (local) or features.arrow (global).
    """
    if settings.score == "local":
        ids, share, batch_size = images["image_id"].to_list(), settings.patch_share, settings.batch_size
        precision = choose_precision(settings.encoder_precision, checkpoint.model.device, run)
        return local_scores(checkpoint, sets, ImageStore(source), ids, share, batch_size, precision)
    return prompt_scores(checkpoint, sets, embeddings_of(images, source, checkpoint.model))

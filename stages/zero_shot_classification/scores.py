"""Zero-shot scores: how close an image is to the prompts of a finding.

Global scores compare the whole image with the prompts that affirm it, less those that deny it. Local scores compare its
patches, so that a small finding is not averaged away (cf. the paper's Fig. 3b), with the affirming prompts alone: what
is absent has no place, and some patch of every image is far from the finding.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float

from ..common.data.image_store import ImageStore
from ..common.data.prompts import PromptSet
from ..common.encoders.dual import Checkpoint, mean_embeddings
from ..common.encoders.prompt_scores import Key, embeddings_of, prompt_scores
from ..common.encoders.settings import READINGS
from ..common.errors import InputError
from ..common.inference.encoding import (
    choose_precision,
    in_batches,
    joined,
    mean_patches,
    rows_for_means,
    token_batches,
)
from ..common.inference.heatmaps import heatmap_reader
from ..common.journal.tracking import Run
from ..common.settings import Precision
from .contract import ZeroShotJob, ZeroShotSettings


@torch.inference_mode()
def local_scores(
    checkpoint: Checkpoint,
    sets: Mapping[Key, PromptSet],
    store: ImageStore,
    image_ids: Sequence[str],
    settings: ZeroShotSettings,
    precision: Precision = "fp32",
    training: Sequence[str] = (),
) -> dict[Key, Float[np.ndarray, "images"]]:
    """Return one score per prompt set and image: the mean of the largest values of a heatmap.

    The heatmap is that of the normalised mean of the affirming prompts' sentence embeddings. `patch_share` of the grid
    is averaged, and at least one patch. Images and prompts are embedded once for all sets. Some readings are centred on
    the images of `training`, and read images on a finer grid.
    """
    model, rows = checkpoint.model, [store.row_of(image_id) for image_id in image_ids]
    reading, mean = READINGS[settings.reading], None
    if reading.mean == "dataset" and training:
        seen = rows_for_means(store, training, settings.seed)
        mean = mean_patches(model, store.gather, seen, precision, settings.batch_size, reading.shifts)
    reader = heatmap_reader(checkpoint, reading, mean)
    directions = mean_embeddings(checkpoint, [each.positive for each in sets.values()], of="sentence")
    batches = in_batches(rows, settings.batch_size)
    tokens = token_batches(model, store.gather, batches, precision, shifts=reading.shifts)
    scores = joined(mean_of_largest(reader(each, directions), settings.patch_share) for each in tokens).numpy()
    return dict(zip(sets, scores.T, strict=True))


def mean_of_largest(
    heatmaps: Float[torch.Tensor, "images prompts patches"], share: float
) -> Float[torch.Tensor, "images prompts"]:
    """Return the mean of the largest `share` of the patches, at least one of them."""
    kept = max(1, round(share * heatmaps.shape[2]))
    return heatmaps.topk(kept, dim=2).values.mean(dim=2)


def scores_of(
    checkpoint: Checkpoint,
    sets: Mapping[Key, PromptSet],
    images: pl.DataFrame,
    job: ZeroShotJob,
    run: Run,
) -> dict[Key, Float[np.ndarray, "images"]]:
    """Return the scores of every prompt set, in the order of `images`, which has image_id and split."""
    settings, found = job.settings, []
    needed = settings.needs_training_images
    if needed and images.filter(split="train").is_empty():
        what = f"{job.labels}: no training image, which {needed} of zero_shot_classification"
        raise InputError(what, "give label_images a train part, or set zero_shot_classification.score: global")
    if job.features is not None and settings.reads_features:
        embeddings = embeddings_of(images, job.features, checkpoint.model)
        found.append(prompt_scores(checkpoint, sets, embeddings))
    if job.images is not None and settings.reads_images:
        precision = choose_precision(settings.encoder_precision, checkpoint.model.device, run)
        ids, training = (rows["image_id"].to_list() for rows in (images, images.filter(split="train")))
        found.append(local_scores(checkpoint, sets, ImageStore(job.images), ids, settings, precision, training))
    if len(found) == 1:
        return found[0]
    of_training = (images["split"] == "train").to_numpy()
    return {key: np.sum([standardised(each[key], of_training) for each in found], axis=0) for key in sets}


def standardised(
    scores: Float[np.ndarray, "images"], training: Bool[np.ndarray, "images"]
) -> Float[np.ndarray, "images"]:
    """Return scores less their mean over training images, divided by their deviation there; no label is read."""
    own = scores[training]
    return (scores - own.mean()) / max(float(own.std()), 1e-9)

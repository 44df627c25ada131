"""Zero-shot scores from patches: a small finding is not averaged away (cf. the paper's Fig. 3b)."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float

from stages.common.dual_encoder import Checkpoint, to_input
from stages.common.image_store import ImageStore
from stages.common.prompt_similarity import mean_embeddings
from stages.common.prompts import PromptSet


@torch.inference_mode()
def local_scores(
    checkpoint: Checkpoint,
    sets: Mapping[str, PromptSet],
    store: ImageStore,
    image_ids: Sequence[str],
    patch_share: float,
    batch_size: int,
) -> dict[str, Float[np.ndarray, "images"]]:
    """Of every prompt set, one score an image: m(affirming) - m(denying); without denying prompts the first alone.

    m is the mean of the largest cosines, `patch_share` of the grid and at least one patch, of an image's patches with
    the normalised mean of the prompts' sentence embeddings. Images and prompts are embedded once for all sets.
    """
    prompts = [(name, side) for name, each in sets.items() for side in ("positive", "negative") if getattr(each, side)]
    directions = mean_embeddings(checkpoint, [getattr(sets[name], side) for name, side in prompts], of="sentence")
    rows = np.array([store.row_of(image_id) for image_id in image_ids])
    model, parts = checkpoint.model, []
    for first in range(0, len(rows), batch_size):
        pixels = torch.from_numpy(store.gather(rows[first : first + batch_size])).to(directions.device)
        tokens = model.patch_tokens(to_input(pixels, model.settings.image.input_size))
        parts.append(mean_of_largest(model.embed_patches(tokens) @ directions.T, patch_share).cpu().numpy())
    found = dict(zip(prompts, np.concatenate(parts).T, strict=True))
    return {name: found[name, "positive"] - found.get((name, "negative"), 0) for name in sets}


def mean_of_largest(
    cosines: Float[torch.Tensor, "images patches prompts"], share: float
) -> Float[torch.Tensor, "images prompts"]:
    """Mean of the largest `share` of the patches, at least one of them."""
    kept = max(1, round(share * cosines.shape[1]))
    return cosines.topk(kept, dim=1).values.mean(dim=1)

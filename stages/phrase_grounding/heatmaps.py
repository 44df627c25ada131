"""Prompt heatmaps (the paper's Fig. 3b): cosine of every patch with a prompt, bilinear to the image."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.nn import functional as F  # noqa: N812

from stages.common.dual_encoder import Checkpoint, to_input
from stages.common.image_encoder import grid_of


@torch.inference_mode()
def prompt_heatmaps(
    checkpoint: Checkpoint, prompts: list[str], images: UInt8[np.ndarray, "batch size size"]
) -> Float[np.ndarray, "batch size size"]:
    """Mean over prompts of the cosine of each patch with the prompt's sentence, on the pixels of the stored image."""
    model = checkpoint.model
    sentences = checkpoint.embed_sentences(prompts).sentences[:, 0]  # a prompt is a report of one sentence
    pixels = to_input(torch.from_numpy(images), model.settings.image.input_size)
    patches = model.embed_patches(model.patch_tokens(pixels))
    cosine = torch.einsum("bne,pe->bn", patches, sentences) / len(sentences)
    return to_pixels(cosine, images.shape[-1]).numpy()


def to_pixels(values: Float[torch.Tensor, "batch patches"], size: int) -> Float[torch.Tensor, "batch {size} {size}"]:
    """Values on the patch grid (row-major), bilinear to a square image."""
    grid = grid_of(values.shape[1])
    square = values.reshape(-1, 1, grid, grid)
    return F.interpolate(square, size=(size, size), mode="bilinear", align_corners=False).squeeze(1)

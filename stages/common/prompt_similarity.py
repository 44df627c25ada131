"""How near images and their patches lie to prompts: what zero-shot scores and heatmaps are made from."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from stages.common.dual_encoder import Checkpoint, DualEncoder
from stages.common.image_encoder import grid_of


@torch.inference_mode()
def mean_embedding(checkpoint: Checkpoint, sentences: list[str]) -> Float[Tensor, "embedding"]:
    """The normalised mean of the prompts' embeddings, each a report of one sentence."""
    return F.normalize(checkpoint.embed_sentences(sentences).report.mean(dim=0), dim=0)


def patch_cosines(
    model: DualEncoder, tokens: Float[Tensor, "images patches width"], prompts: Float[Tensor, "prompts embedding"]
) -> Float[Tensor, "images prompts patches"]:
    """Cosine of every patch of whole images with the sentence of every prompt (`prompt_sentences`)."""
    return torch.einsum("ine,pe->ipn", model.embed_patches(tokens), prompts)


def prompt_sentences(checkpoint: Checkpoint, prompts: list[str]) -> Float[Tensor, "prompts embedding"]:
    """Unit vectors of the prompts' sentences: a prompt is a report of one sentence."""
    return checkpoint.embed_sentences(prompts).sentences[:, 0]


def to_pixels(values: Float[Tensor, "batch patches"], size: int) -> Float[Tensor, "batch {size} {size}"]:
    """Values on the patch grid (row-major), bilinear to a square image."""
    grid = grid_of(values.shape[1])
    square = values.reshape(-1, 1, grid, grid)
    return F.interpolate(square, size=(size, size), mode="bilinear", align_corners=False).squeeze(1)

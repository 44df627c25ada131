"""How near images and their patches lie to prompts: what zero-shot scores and heatmaps are made from."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from stages.common.dual_encoder import Checkpoint, DualEncoder
from stages.common.image_encoder import grid_of


@torch.inference_mode()
def mean_embeddings(
    checkpoint: Checkpoint, groups: Sequence[Sequence[str]], of: Literal["report", "sentence"] = "report"
) -> Float[Tensor, "groups embedding"]:
    """The normalised mean of each group's prompts; a prompt of several groups is embedded once.

    `of` a prompt either the report of one sentence that it is (what images are near to), or that sentence (patches).
    """
    place = {prompt: row for row, prompt in enumerate(dict.fromkeys(prompt for group in groups for prompt in group))}
    texts = checkpoint.embed_sentences(list(place))
    embedded = texts.report if of == "report" else texts.sentences[:, 0]
    means = [embedded[[place[prompt] for prompt in group]].mean(dim=0) for group in groups]
    return F.normalize(torch.stack(means), dim=1)


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

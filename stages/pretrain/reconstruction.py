"""Masked image prediction: an MAE decoder and the error on masked patches (docs/method.md; He et al. 2022)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from stages.common.timm_models import Block, build_sincos2d_pos_embed


class MaskedImageDecoder(nn.Module):
    """Visible tokens and mask tokens, with fixed sine-cosine positions, to the pixels of every patch."""

    def __init__(self, width_in: int, grid: int, patch_pixels: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Linear(width_in, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.register_buffer("positions", build_sincos2d_pos_embed([grid, grid], width), persistent=False)
        self.blocks = nn.Sequential(*(Block(width, heads, qkv_bias=True) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, patch_pixels)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(
        self, tokens: Float[Tensor, "batch visible width"], visible: Int[Tensor, "batch visible"]
    ) -> Float[Tensor, "batch patches pixels"]:
        known = self.embed(tokens)
        batch, _, width = known.shape
        patches = self.positions.shape[0]
        places = visible.unsqueeze(-1).expand(-1, -1, width)
        full = self.mask_token.to(known.dtype).expand(batch, patches, width).scatter(1, places, known)
        return self.predict(self.norm(self.blocks(full + self.positions)))


def reconstruction_loss(
    predicted: Float[Tensor, "batch patches pixels"],
    target: Float[Tensor, "batch patches pixels"],
    visible: Bool[Tensor, "batch patches"],
    normalise: bool,
) -> Float[Tensor, ""]:
    """Mean squared error over masked patches only; 0 where nothing is masked.

    `normalise` compares each patch after subtracting its mean and dividing by its standard deviation.
    """
    if normalise:
        target = (target - target.mean(dim=-1, keepdim=True)) / (target.var(dim=-1, keepdim=True) + 1e-6).sqrt()
    each = (predicted - target).square().mean(dim=-1)
    masked = (~visible).to(each.dtype)
    return (each * masked).sum() / masked.sum().clamp(min=1)

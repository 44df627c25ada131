"""Which patches an image shows: exactly V = round((1 - r) N) of N, drawn afresh for every sample."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def visible_count(patches: int, ratio: float) -> int:
    """V for a mask ratio r; at least one patch stays visible."""
    return max(1, round((1 - ratio) * patches))


def draw_visible(batch: int, patches: int, ratio: float, generator: torch.Generator) -> Int[Tensor, "batch visible"]:
    """Indices of the visible patches, ascending; every subset of size V is equally likely."""
    noise = torch.rand(batch, patches, generator=generator)
    return noise.argsort(dim=1)[:, : visible_count(patches, ratio)].sort(dim=1).values


def visibility(visible: Int[Tensor, "batch visible"], patches: int) -> Bool[Tensor, "batch {patches}"]:
    """m_i: True is visible, False is masked."""
    mask = torch.zeros(visible.shape[0], patches, dtype=torch.bool, device=visible.device)
    return mask.scatter_(1, visible, True)

"""What a segmenter is trained with: a focal loss beside a Dice loss, as each protocol combines them."""

import stages.common.torchvision_operators  # noqa: F401, I001  (before torchvision)
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torchvision.ops import sigmoid_focal_loss

Logits = Float[Tensor, "batch size size"]
Masks = Float[Tensor, "batch size size"]  # 1 finding, 0 not

_SMOOTH = 1.0  # pixels added to both sides of the fraction, so that an empty mask has a gradient
_GAMMA = 2.0  # Lin et al., ICCV 2017


def linear_loss(logits: Logits, masks: Masks, focal_weight: float) -> Float[Tensor, ""]:
    """w focal - log D, D the soft Dice of all pixels of the batch together: GLoRIA's and MGCA's code.

    focal: mean over pixels of (1 - p_t)^2 (-log p_t).  D = (2 sum p y + 1) / (sum p + sum y + 1).
    """
    focal = sigmoid_focal_loss(logits, masks, alpha=-1, gamma=_GAMMA, reduction="mean")
    probabilities = logits.sigmoid()
    dice = (2 * (probabilities * masks).sum() + _SMOOTH) / (probabilities.sum() + masks.sum() + _SMOOTH)
    return focal_weight * focal - torch.log(dice)


def finetuning_loss(logits: Logits, masks: Masks, focal_weight: float) -> Float[Tensor, ""]:
    """w focal + (1 - mean over images of D_i), D_i = (2 sum p y + 1) / (sum p^2 + sum y^2 + 1): MRM's and MaCo's.

    The focal loss is the one of `linear_loss` times 1/2, which weighs both classes alike (alpha of Lin et al.).
    """
    focal = sigmoid_focal_loss(logits, masks, alpha=0.5, gamma=_GAMMA, reduction="mean")
    probabilities, masks = logits.sigmoid().flatten(1), masks.flatten(1)
    squares = (probabilities**2).sum(dim=1) + (masks**2).sum(dim=1)
    dice = (2 * (probabilities * masks).sum(dim=1) + _SMOOTH) / (squares + _SMOOTH)
    return focal_weight * focal + 1 - dice.mean()


def resize_logits(logits: Float[Tensor, "batch 1 rows columns"], size: int) -> Float[Tensor, "batch {size} {size}"]:
    """Bilinear, to the size of the masks."""
    if logits.shape[-2:] != (size, size):
        logits = F.interpolate(logits, size=(size, size), mode="bilinear")
    return logits.squeeze(1)

"""The parts of timm that are used, imported so that this also works with a CPU build of torch."""

from . import torchvision_operators  # noqa: F401, I001  (before timm)
from timm import create_model, is_model
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import Block, VisionTransformer, checkpoint_filter_fn

__all__ = [
    "Block",
    "VisionTransformer",
    "build_sincos2d_pos_embed",
    "checkpoint_filter_fn",
    "create_model",
    "is_model",
]

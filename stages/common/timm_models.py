"""What is used of timm, imported so that it also works beside a CPU build of torch.

timm imports torchvision, whose wheel on PyPI is a CUDA build. Beside a CPU torch its compiled operators cannot load,
and the import dies with "operator torchvision::nms does not exist", although nothing here uses them. Declaring the
missing schemas lets the import pass; where torchvision is whole (every CUDA installation) nothing is done.
"""

import sys

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    for _name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[_name]
    _declarations = torch.library.Library("torchvision", "DEF")  # must outlive the import
    for _operator in ("nms", "qnms"):  # the two that the import itself asks for
        _declarations.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from timm import create_model
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import Block, VisionTransformer

__all__ = ["Block", "VisionTransformer", "build_sincos2d_pos_embed", "create_model"]

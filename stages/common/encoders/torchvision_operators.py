"""Lets timm and transformers be imported beside a CPU build of torch: import this module before either.

Both import torchvision, whose wheel on PyPI is a CUDA build. Beside a CPU torch its compiled operators cannot load,
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

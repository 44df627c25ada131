"""Fix of torchvision's import beside a CPU build of torch; import this module before timm or transformers.

Both import torchvision, whose wheel on PyPI is a CUDA build. Beside a CPU torch its compiled operators cannot load, and
the import fails with "operator torchvision::nms does not exist", although nothing here uses them. Declaring the missing
schemas lets the import pass. Where torchvision is complete (every CUDA installation) nothing is done.
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
    for _operator in ("nms", "qnms"):  # the two that the import itself needs
        _declarations.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

"""Device of a stage: the GPU that it was given, else the CPU, but never silently the CPU for days."""

import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from .errors import InputError
from .settings import DEVICES, Precision

if TYPE_CHECKING:
    import torch

_AMPERE = 8  # compute capability of the first GPUs with bf16


def choose_device(wanted: str, environ: Mapping[str, str] = os.environ) -> "torch.device":
    """Choose the device of a stage; `auto` means CUDA where PyTorch sees a GPU.

    Raises InputError for any other word, and where a GPU was asked for or allotted and PyTorch sees none.
    """
    if wanted not in DEVICES:
        raise InputError(f"device: {wanted!r} is none", remedy=f"choose one of {', '.join(DEVICES)}")
    import torch  # here, because it takes a second and `--help` does not need it

    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        torch.backends.cudnn.allow_tf32 = False  # else convolutions alone are in TF32, PyTorch's default
        return torch.device("cuda")
    allotted = environ.get("CUDA_VISIBLE_DEVICES", "")
    if wanted == "cuda" or allotted not in ("", "-1", "NoDevFiles"):
        asked = f"CUDA_VISIBLE_DEVICES={allotted}" if allotted else "device: cuda"
        build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU alone"
        raise InputError(
            f"{asked}, but PyTorch (built for {build}) sees no GPU on {os.uname().nodename}",
            remedy="check `nvidia-smi` "
            "there, the driver version, and `--nv` in the profile's apptainer-args; or set `device: cpu` "
            "in config.yaml",
        )
    return torch.device("cpu")


def is_ampere_or_newer(device: "torch.device") -> bool:
    """Return whether a GPU is of compute capability 8 or more: bf16, TF32, attention for sequences of any length."""
    import torch

    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= _AMPERE


@cache
def possible_precision(wanted: Precision, device: "torch.device", say: bool = True) -> Precision:
    """Return a precision that a device has: `wanted`, else fp32, said once on standard error.

    GPUs before Ampere only emulate bf16, and only GPUs have TF32.
    """
    import torch

    there = wanted == "fp32" or is_ampere_or_newer(device) or (device.type != "cuda" and wanted == "bf16")
    if there:
        return wanted
    if say:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
        print(f"warning: {name} has no {wanted}; computing in fp32", file=sys.stderr)
    return "fp32"

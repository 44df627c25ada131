"""What a training computes on, for its journal; and bitwise equal runs where they are asked for."""

import os
import platform
import shutil
import sys
from pathlib import Path

import torch

from stages.common.errors import InputError
from stages.pretrain.objective import Objective
from stages.pretrain.settings import C_COMPILERS


def hardware_tags(device: torch.device) -> dict[str, str]:
    """Versions, device and what of it this process may use."""
    tags = {name: sys.modules[name].__version__ for name in ("torch", "timm", "transformers")}  # the objective's
    tags |= {"device": device.type, "cpu": _cpu_name(), "cpu_cores": str(len(os.sched_getaffinity(0)))}
    tags |= {"threads": str(torch.get_num_threads())}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        tags |= {"gpu": properties.name, "gpu_bytes": str(properties.total_memory), "cuda": str(torch.version.cuda)}
        tags |= {"cudnn": str(torch.backends.cudnn.version())}
    return tags


def make_deterministic() -> None:
    """Only algorithms that give the same bits each time; PyTorch raises RuntimeError where an operation has none.

    Before the first use of a GPU: cuBLAS reads its variable then.
    """
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def compile_static_parts(model: Objective) -> None:
    """torch.compile, in place, of what always sees the same shapes; the names of weights stay.

    Reports are of every length, so the text encoder would be compiled again and again.
    """
    if not any(map(shutil.which, C_COMPILERS)):
        raise InputError("pretrain.optimisation.compiled: torch.compile needs a C compiler; add gcc to the image, or "
                         "set it to false")  # fmt: skip
    parts = [model.encoder.image.vit.blocks] + ([model.decoder.blocks] if model.decoder is not None else [])
    for part in parts:
        part.compile(dynamic=False)


def _cpu_name() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(names, platform.machine())
    except OSError:
        return platform.machine()

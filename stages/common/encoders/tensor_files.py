"""Reading of pre-trained tensors from files, without running any code that they may hold."""

import pickle
import re
import struct
from argparse import Namespace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import InputError, first_line
from ..files.atomic_files import sidecar_of, verify

_WRAPPERS = ("model", "state_dict")  # MAE and many training scripts: {"model": {...}, "args": ...}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or torch file by name, on the CPU; other values are dropped.

    A torch file is a pickle. Only tensors, plain values and `argparse.Namespace` (in which training scripts keep their
    options) are unpickled; anything else is an InputError, as is a damaged file.
    """
    path = Path(path)
    if sidecar_of(path).is_file():
        verify(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", remedy="correct the path, or put the weights there") from None
    except pickle.UnpicklingError as error:
        if blocked := re.search(r"GLOBAL ([\w.]+)", str(error)):
            reason = f"refused, because reading it would run {blocked[1]}; use safetensors, or a file of tensors"
        else:
            reason = "not a tensor file, or damaged; fetch it again"
        raise InputError(f"{path}: {reason}") from None
    except (SafetensorError, RuntimeError, OSError, EOFError, struct.error, ValueError, KeyError) as error:
        what = f"{path}: not a tensor file, or damaged ({first_line(error)})"
        raise InputError(what, remedy="fetch it again") from None
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    named = content.items() if isinstance(content, dict) else ()
    tensors = {name: value for name, value in named if isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"{path}: holds no named tensors", remedy="use the file of the model's state_dict")
    return tensors

"""Pre-trained weights of a BERT-like model, as transformers writes them, into the text encoder."""

from pathlib import Path
from typing import Any

from torch import Tensor

from stages.common.atomic_files import read_json
from stages.common.errors import InputError
from stages.common.tensor_files import read_tensors
from stages.common.text_encoder import TextEncoder
from stages.common.weight_files import CONFIGURATION, weight_files
from stages.pretrain.loaded_tensors import LoadReport, load_tensors

_FIRST_NAMES = {
    "LayerNorm.gamma": "LayerNorm.weight",
    "LayerNorm.beta": "LayerNorm.bias",
}  # before 2019, from TensorFlow


def text_configuration(source: Path) -> dict[str, Any]:
    """config.json of the folder `source`: the architecture that the encoder is built with."""
    *configuration, file = weight_files(source)
    if not configuration:
        raise InputError(
            f"{file.parent}: no {CONFIGURATION} beside {file.name}; put it there and name the folder, not the file"
        )
    record = read_json(configuration[0])
    if not isinstance(record, dict):
        raise InputError(f"{configuration[0]}: no mapping; fetch it again")
    return record


def load_text_weights(encoder: TextEncoder, source: Path) -> LoadReport:
    """Put the weights of the folder `source` into `encoder`, which was built with its configuration."""
    file = weight_files(source)[-1]
    tensors = _encoder_names(read_tensors(file), f"{encoder.bert.base_model_prefix}.")
    return load_tensors(encoder.bert, tensors, file, f"the {encoder.bert.config.model_type} of its {CONFIGURATION}")


def _encoder_names(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Names as in the bare encoder: without the prefix that models with a head have, and with today's norm names."""
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in _FIRST_NAMES.items():
            name = name.removesuffix(old) + new if name.endswith(old) else name
        renamed[name.removeprefix(prefix)] = tensor
    return renamed

"""Floating-point operations and parameters of a training and its parts, from settings alone: nothing is built.

The layers are those of stages/common/encoders/operations.py, with perceptrons of four times the width.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from stages.common.encoders.operations import FORWARD_AND_BACKWARD, Transformer, product
from stages.common.encoders.settings import ImageEncoderSettings, TextEncoderSettings
from stages.fetch_weights.contract import folder_name, hub_id
from stages.pretrain.contract import PretrainSettings

_VIT = {"tiny": (192, 12), "small": (384, 12), "base": (768, 12), "large": (1024, 24), "huge": (1280, 32)}
_BERT = (768, 12)  # of weights whose config.json is not here: as Bio_ClinicalBERT
_BERT_VOCABULARY = 28_996
REPORT_TOKENS = 80  # real reports: 5.8 sentences of 13.4 word pieces, and [CLS], [SEP]
_SENTENCES = 6


def _layers(width: int, depth: int) -> Transformer:
    return Transformer(width, 4 * width, depth)


def image_shape(image: ImageEncoderSettings) -> tuple[int, int]:
    """Return (width, depth) of the image encoder."""
    if image.architecture == "custom":
        return image.width, image.depth
    return next((shape for size, shape in _VIT.items() if f"vit_{size}" in image.architecture), _VIT["base"])


def text_shape(text: TextEncoderSettings) -> tuple[int, int]:
    """Return (width, depth) of the text encoder; of one with weights after `with_text_shape`."""
    return text.width, text.depth


def with_text_shape(settings: PretrainSettings, workspace: Path) -> PretrainSettings:
    """Return the settings with the width and depth of the text weights, which say nothing of them."""
    text = settings.model.text
    if text.weights is None:
        return settings
    width, depth = shape_of_weights(text.weights, workspace) or _BERT
    model = settings.model.model_copy(update={"text": text.model_copy(update={"width": width, "depth": depth})})
    return settings.model_copy(update={"model": model})


def shape_of_weights(weights: str, workspace: Path) -> tuple[int, int] | None:
    """Return (width, depth) from the config.json of text weights, local or fetched; None where there is none yet."""
    identifier = hub_id(weights)
    folder = Path(weights) if identifier is None else workspace / "weights" / folder_name(identifier)
    with suppress(OSError, ValueError, KeyError, TypeError):
        known: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        width, depth = known.get("hidden_size", known.get("dim")), known.get("num_hidden_layers", known.get("n_layers"))
        return int(width), int(depth)  # type: ignore[arg-type]  # None: the TypeError is suppressed
    return None


def text_of_assumed_size(settings: PretrainSettings, workspace: Path) -> str | None:
    """Return the text weights whose size is assumed, if it is."""
    weights = settings.model.text.weights
    return weights if weights is not None and shape_of_weights(weights, workspace) is None else None


def image_forward(settings: PretrainSettings, visible: float = 1.0, input_size: int | None = None) -> float:
    """Return the forward operations of an image with a share of its patches `visible`, at `input_size` if given."""
    image = settings.model.image
    width, depth = image_shape(image)
    tokens = ((input_size or image.input_size) // image.patch_size) ** 2 * visible
    return _layers(width, depth).forward(tokens) + product(tokens, image.patch_size**2, width)


def text_forward(settings: PretrainSettings) -> float:
    """Return the forward operations of a report of usual length."""
    return _layers(*text_shape(settings.model.text)).forward(min(REPORT_TOKENS, settings.model.text.max_tokens))


def training_pair(settings: PretrainSettings) -> float:
    """Return the operations of one pair in one epoch of pre-training, the mean of masked and unmasked epochs.

    Transport and reconstruction are included.
    """
    unmasked = settings.unmasked_epochs / max(1, settings.optimisation.epochs)
    return (1 - unmasked) * _pair(settings, 1 - settings.mask_ratio) + unmasked * _pair(settings, 1.0)


def _pair(settings: PretrainSettings, visible: float) -> float:
    encoders = image_forward(settings, visible) + text_forward(settings)
    passes = FORWARD_AND_BACKWARD + (1 if settings.optimisation.micro_batch else 0)
    rest = 0.0
    if settings.reconstruction.weight and visible < 1:
        decoder = settings.reconstruction
        rest += FORWARD_AND_BACKWARD * _layers(decoder.width, decoder.depth).forward(settings.model.image.patches)
    if settings.local.weight:
        patches = settings.model.image.patches * visible
        others = min(settings.local.group, settings.optimisation.batch_size)
        cosines = 2 * settings.model.embedding_width
        iterations = 4 * settings.local.max_iterations / 2
        rest += others * patches * _SENTENCES * (FORWARD_AND_BACKWARD * cosines + iterations)
    return passes * encoders + rest


def upernet(width: int, size: int) -> float:
    """Return the forward operations of UPerNet (Xiao et al. 2018) on an image of `size` pixels.

    Its levels are at 1/4, 1/8 and 1/16. Convolutions of 3 x 3: one of `width` to `width` on each level, one of 4
    `width` to `width` on the finest.
    """
    positions = (size / 4) ** 2
    return 18 * width**2 * positions * (1 + 1 / 4 + 1 / 16 + 4)


def parameters(settings: PretrainSettings) -> float:
    """Return the number of weights of both encoders and their projections."""
    image, text = settings.model.image, settings.model.text
    width, depth = image_shape(image)
    text_width, text_depth = text_shape(text)
    vocabulary = _BERT_VOCABULARY if text.weights else 2_000
    return (
        12 * width**2 * depth + image.patches * width + image.patch_size**2 * width
        + 12 * text_width**2 * text_depth + (vocabulary + 512) * text_width
        + settings.model.embedding_width * (width + text_width)
    )  # fmt: skip

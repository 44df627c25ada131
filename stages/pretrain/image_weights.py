"""Pre-trained weights of a vision transformer (MAE, ImageNet, CLIP, DINO: what timm reads) into the image encoder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from stages.common.atomic_files import read_json
from stages.common.encoder_settings import ImageEncoderSettings
from stages.common.errors import InputError
from stages.common.image_encoder import ImageEncoder
from stages.common.published_encoders import IMAGENET, SOURCES, encoder_names
from stages.common.tensor_files import read_tensors
from stages.common.timm_models import VisionTransformer, checkpoint_filter_fn
from stages.common.weight_files import CONFIGURATION, weight_files
from stages.pretrain.loaded_tensors import LoadReport, first_of, load_tensors

_PROJECTION = "patch_embed.proj"


def load_image_weights(encoder: ImageEncoder, source: Path) -> LoadReport:
    """Put the weights of a file or folder into `encoder`, adapted to its patch size, input size and grey input.

    Positions and patches are resampled by timm (bicubic); RGB patches become grey ones by `fold_rgb`. The last norm may
    be missing: fine-tuned MAE and mean-pooled models have theirs behind the pooling.
    """
    *configuration, file = weight_files(source)
    tensors = read_tensors(file)
    settings, vit = encoder.settings, encoder.vit
    encoded = _encoder_tensors(tensors, settings, file)
    expected = (
        f"{settings.architecture} with patches of {settings.patch_size} and input of {settings.input_size} pixels"
    )
    try:
        adapted = checkpoint_filter_fn(dict(encoded), vit)
    except (RuntimeError, ValueError, KeyError, AssertionError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"{file}: no weights of {expected} ({reason}); take the weights that belong to it") from None
    notes = _resampled(encoded, adapted)
    if getattr(adapted.get(f"{_PROJECTION}.weight"), "shape", [0, 0])[1] == 3:
        mean, deviation, origin = _normalisation(configuration, vit, settings)
        _make_grey(adapted, settings, mean, deviation, vit)
        notes.append(f"RGB patches summed to grey; pre-trained with mean {mean}, deviation {deviation} ({origin})")
    report = load_tensors(vit, adapted, file, expected, may_be_missing="norm.")
    others = [name for name in tensors if name.removeprefix(SOURCES[settings.source].prefix) not in encoded]
    return replace(report, unexpected=report.unexpected + others, notes=tuple(notes))


def _encoder_tensors(tensors: dict[str, Tensor], settings: ImageEncoderSettings, file: Path) -> dict[str, Tensor]:
    """Those of the encoder, by the names of timm; an InputError where the file is no file of `settings.source`."""
    source = SOURCES[settings.source]
    if settings.source == "timm" and any(name.startswith("decoder_") for name in tensors):
        source = SOURCES["mae"]  # with its decoder, whose mask token would pass for DINOv2's
    names = encoder_names(source, list(tensors))
    if not names:
        raise InputError(
            f"{file}: no file of {source.name}, whose encoder is {source.prefix}* (found: {first_of(list(tensors))}); "
            "correct `source`, or take the file of that method"
        )
    return {new: tensors[old] for old, new in names.items()}


def fold_rgb(
    weight: Float[Tensor, "width 3 patch patch"],
    mean: list[float],
    deviation: list[float],
    grey_mean: float,
    grey_deviation: float,
) -> tuple[Float[Tensor, "width 1 patch patch"], Float[Tensor, "width"]]:
    """Weight, and shift of the bias, that give grey images the tokens which their RGB copies had.

    The RGB model sees (g - mean_c) / deviation_c in each channel, ours z = (g - grey_mean) / grey_deviation. With
    g = grey_deviation z + grey_mean, sum_c W_c (g - mean_c) / deviation_c is
    [sum_c W_c grey_deviation / deviation_c] z + sum_c W_c (grey_mean - mean_c) / deviation_c, exactly.
    """
    means, deviations = (torch.tensor(each, dtype=torch.float64).view(1, 3, 1, 1) for each in (mean, deviation))
    scaled = weight.double() / deviations
    grey = scaled.sum(dim=1, keepdim=True) * grey_deviation
    shift = (scaled * (grey_mean - means)).sum(dim=(1, 2, 3))
    return grey.float(), shift.float()


def _make_grey(
    tensors: dict[str, Tensor],
    settings: ImageEncoderSettings,
    mean: list[float],
    deviation: list[float],
    vit: VisionTransformer,
) -> None:
    weight, shift = fold_rgb(
        tensors[f"{_PROJECTION}.weight"], mean, deviation, settings.mean, settings.standard_deviation
    )
    tensors[f"{_PROJECTION}.weight"] = weight
    if f"{_PROJECTION}.bias" in tensors:
        tensors[f"{_PROJECTION}.bias"] = tensors[f"{_PROJECTION}.bias"].float() + shift
    elif "pos_embed" in tensors:  # CLIP's patches have no bias; positions of patches are added right behind them
        positions = tensors["pos_embed"].float().clone()
        positions[:, positions.shape[1] - vit.patch_embed.num_patches :] += shift
        tensors["pos_embed"] = positions


def _normalisation(
    configuration: list[Path], vit: VisionTransformer, settings: ImageEncoderSettings
) -> tuple[list[float], list[float], str]:
    """Mean and standard deviation of the pre-training's RGB input (0..1), and who says so."""
    source = SOURCES[settings.source]
    if source.normalisation is not None:
        return *map(list, source.normalisation), source.name
    said: list[tuple[dict[str, Any], str]] = []
    if configuration:
        record = read_json(configuration[0])
        said.append((record.get("pretrained_cfg", record) if isinstance(record, dict) else {}, CONFIGURATION))
    if "." in settings.architecture:  # with the tag of its weights: vit_base_patch16_224.mae
        said.append((vit.pretrained_cfg, f"timm's {settings.architecture}"))
    for record, origin in said:
        if record.get("mean") and record.get("std"):
            return list(record["mean"]), list(record["std"]), origin
    return *map(list, IMAGENET), "ImageNet's, assumed"


def _resampled(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    """What timm adapted to the encoder's patch and input size, one line each."""
    changed = []
    for name, words in ((f"{_PROJECTION}.weight", "patches"), ("pos_embed", "positions")):
        old, new = before.get(name), after.get(name)
        if old is not None and new is not None and old.shape != new.shape:
            changed.append(f"{words} resampled from {tuple(old.shape)} to {tuple(new.shape)}")
    return changed

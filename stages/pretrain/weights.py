"""Loading of pre-trained weights into the encoders: local files only, because compute nodes have no network.

Tensors are matched by name; what was used, missing and left over is reported. The text encoder takes the weights of a
BERT-like model as transformers writes them, the image encoder those of a vision transformer that timm reads (MAE,
ImageNet, CLIP, DINO). Mean and standard deviation of grey values, with which the image encoder standardises, are set
here as well.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..common.encoders.dual import DualEncoder
from ..common.encoders.image import ImageEncoder
from ..common.encoders.settings import DualEncoderSettings, ImageEncoderSettings
from ..common.encoders.tensor_files import read_tensors
from ..common.encoders.text import TextEncoder
from ..common.encoders.timm_models import VisionTransformer, checkpoint_filter_fn
from ..common.encoders.weight_files import CONFIGURATION, RECORD, WeightsRecord, weight_files
from ..common.errors import InputError
from ..common.files.atomic_files import read_json
from ..common.journal.tracking import Run
from ..common.records import parse_record, read_record
from ..pair_images_reports.contract import Fingerprint
from .contract import PretrainSettings
from .published_encoders import IMAGENET, SOURCES, encoder_names

_NAMED = 3  # names listed in a line or message


@dataclass(frozen=True)
class LoadReport:
    """Names of tensors: `missing` ones stay as initialised, `unexpected` ones of the file are left out."""

    source: Path
    used: list[str]
    missing: list[str]
    unexpected: list[str]
    notes: tuple[str, ...] = ()  # adaptations, one line each

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        counts = f"{len(self.used)} tensors used"
        for kind, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            counts += f", {len(names)} {kind}" + (f" ({first_of(names)})" if names else "")
        return [f"{self.source}: {counts}", *(f"{self.source}: {note}" for note in self.notes)]


def load_tensors(
    module: nn.Module, tensors: dict[str, Tensor], source: Path, expected: str, may_be_missing: str | None = None
) -> LoadReport:
    """Copy `tensors` into `module`, which `expected` describes in words.

    Raises InputError for a tensor of another shape, or a missing one whose name does not start with `may_be_missing`:
    these are weights of another architecture.
    """
    own = module.state_dict()
    used = [name for name in own if name in tensors]
    missing = [name for name in own if name not in tensors]
    other = [
        f"{name} is {tuple(tensors[name].shape)}, must be {tuple(own[name].shape)}"
        for name in used
        if tensors[name].shape != own[name].shape
    ]
    lacking = [name for name in missing if may_be_missing is None or not name.startswith(may_be_missing)]
    if other or lacking:
        reason = (
            f"{len(other)} shapes differ: {first_of(other)}" if other else f"lacks {len(lacking)}: {first_of(lacking)}"
        )
        raise InputError(
            f"{source}: not weights of {expected} ({reason})",
            remedy="correct the architecture or sizes in pretrain.model, or use weights that match them",
        )
    module.load_state_dict({name: tensors[name] for name in used}, strict=False)
    return LoadReport(source, used, missing, [name for name in tensors if name not in own])


def first_of(names: list[str]) -> str:
    """Return the first names, with an ellipsis if there are more."""
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


_FIRST_NAMES = {
    "LayerNorm.gamma": "LayerNorm.weight",
    "LayerNorm.beta": "LayerNorm.bias",
}  # before 2019, from TensorFlow


def text_configuration(source: Path) -> dict[str, Any]:
    """Return config.json of the folder `source`: the architecture with which the encoder is built."""
    *configuration, file = weight_files(source)
    if not configuration:
        raise InputError(
            f"{file.parent}: no {CONFIGURATION} beside {file.name}",
            remedy="put it there and name the folder, not the file",
        )
    record = read_json(configuration[0])
    if not isinstance(record, dict):
        raise InputError(f"{configuration[0]}: not a mapping", remedy="fetch it again")
    return record


def load_text_weights(encoder: TextEncoder, source: Path) -> LoadReport:
    """Load the weights of the folder `source` into `encoder`, which was built with its configuration."""
    file = weight_files(source)[-1]
    tensors = _encoder_names(read_tensors(file), f"{encoder.bert.base_model_prefix}.")
    return load_tensors(encoder.bert, tensors, file, f"the {encoder.bert.config.model_type} of its {CONFIGURATION}")


def _encoder_names(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return tensors under the names of the bare encoder: without a head's prefix, with current norm names."""
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in _FIRST_NAMES.items():
            name = name.removesuffix(old) + new if name.endswith(old) else name
        renamed[name.removeprefix(prefix)] = tensor
    return renamed


_PROJECTION = "patch_embed.proj"


def load_image_weights(encoder: ImageEncoder, source: Path) -> LoadReport:
    """Load the weights of a file or folder into `encoder`, adapted to its patch size, input size and grey input.

    Positions and patches are resampled by timm (bicubic); RGB patches become grey ones by `fold_rgb`. The last norm may
    be missing: fine-tuned MAE and mean-pooled models have theirs after the pooling.
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
        raise InputError(f"{file}: not weights of {expected} ({reason})", remedy="use weights that match it") from None
    notes = _resampled(encoded, adapted)
    if getattr(adapted.get(f"{_PROJECTION}.weight"), "shape", [0, 0])[1] == 3:
        mean, deviation, origin = _normalisation(configuration, vit, settings)
        _make_grey(adapted, settings, mean, deviation, vit)
        notes.append(f"RGB patches summed to grey; pre-trained with mean {mean}, deviation {deviation} ({origin})")
    report = load_tensors(vit, adapted, file, expected, may_be_missing="norm.")
    others = [name for name in tensors if name.removeprefix(SOURCES[settings.source].prefix) not in encoded]
    return replace(report, unexpected=report.unexpected + others, notes=tuple(notes))


def _encoder_tensors(tensors: dict[str, Tensor], settings: ImageEncoderSettings, file: Path) -> dict[str, Tensor]:
    """Return the encoder's tensors under timm's names. Raises InputError where the file is not of `settings.source`."""
    source = SOURCES[settings.source]
    if settings.source == "timm" and any(name.startswith("decoder_") for name in tensors):
        source = SOURCES["mae"]  # with its decoder, whose mask token would pass for DINOv2's
    names = encoder_names(source, list(tensors))
    if not names:
        raise InputError(
            f"{file}: not a file of {source.name}, whose encoder tensors are {source.prefix}* (found: "
            f"{first_of(list(tensors))})",
            remedy="correct `source`, or use a file of that method",
        )
    return {new: tensors[old] for old, new in names.items()}


def fold_rgb(
    weight: Float[Tensor, "width 3 patch patch"],
    mean: list[float],
    deviation: list[float],
    grey_mean: float,
    grey_deviation: float,
) -> tuple[Float[Tensor, "width 1 patch patch"], Float[Tensor, "width"]]:
    """Return the weight, and the shift of the bias, that give grey images the tokens which their RGB copies had.

    The RGB model sees (g - mean_c) / deviation_c in each channel, ours z = (g - grey_mean) / grey_deviation. With g =
    grey_deviation z + grey_mean, sum_c W_c (g - mean_c) / deviation_c is [sum_c W_c grey_deviation / deviation_c] z +
    sum_c W_c (grey_mean - mean_c) / deviation_c, exactly.
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
    elif "pos_embed" in tensors:  # CLIP's patches have no bias; positions are added right after them
        positions = tensors["pos_embed"].float().clone()
        positions[:, positions.shape[1] - vit.patch_embed.num_patches :] += shift
        tensors["pos_embed"] = positions


def _normalisation(
    configuration: list[Path], vit: VisionTransformer, settings: ImageEncoderSettings
) -> tuple[list[float], list[float], str]:
    """Return mean and standard deviation of the pre-training's RGB input (0..1), and who states them."""
    source = SOURCES[settings.source]
    if source.normalisation is not None:
        mean, deviation = source.normalisation
        return list(mean), list(deviation), source.name
    said: list[tuple[dict[str, Any], str]] = []
    if configuration:
        record = read_json(configuration[0])
        said.append((record.get("pretrained_cfg", record) if isinstance(record, dict) else {}, CONFIGURATION))
    if "." in settings.architecture:  # with the tag of its weights: vit_base_patch16_224.mae
        said.append((vars(vit)["pretrained_cfg"], f"timm's {settings.architecture}"))
    for record, origin in said:
        if record.get("mean") and record.get("std"):
            return list(record["mean"]), list(record["std"]), origin
    mean, deviation = IMAGENET
    return list(mean), list(deviation), "ImageNet's, assumed"


def _resampled(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    """Return what timm adapted to the encoder's patch and input size, one line each."""
    changed = []
    for name, words in ((f"{_PROJECTION}.weight", "patches"), ("pos_embed", "positions")):
        old, new = before.get(name), after.get(name)
        if old is not None and new is not None and old.shape != new.shape:
            changed.append(f"{words} resampled from {tuple(old.shape)} to {tuple(new.shape)}")
    return changed


def with_normalisation(settings: PretrainSettings, fingerprint: Path) -> PretrainSettings:
    """Return the settings with the numbers that training uses; the checkpoint carries them to evaluation.

    `fingerprint` is fingerprint.json of pair_images_reports, whose numbers are of training pixels only. Raises
    InputError where it is damaged or of another version.
    """
    if settings.normalisation == "given":
        return settings
    grey = read_record(fingerprint, Fingerprint).intensity
    image = settings.model.image.model_copy(update={"mean": grey.mean, "standard_deviation": grey.standard_deviation})
    return settings.model_copy(update={"model": settings.model.model_copy(update={"image": image})})


@dataclass(frozen=True)
class StartingWeights:
    """Files or folders of the encoders' starting weights; None starts at random."""

    image: Path | None = None
    text: Path | None = None

    def inputs(self, settings: DualEncoderSettings) -> dict[str, Path]:
        """Return every file that is read, by role.

        Raises InputError where settings and options do not agree, or a file is missing.
        """
        files: dict[str, Path] = {}
        for encoder, source in (("image", self.image), ("text", self.text)):
            named = getattr(settings, encoder).weights
            if named and source is None:
                raise InputError(
                    f"--{encoder}-weights: missing, but model.{encoder}.weights names {named}",
                    remedy="give its local folder (fetch_weights downloads a hub id)",
                )
            if source is not None and not named:
                raise InputError(
                    f"--{encoder}-weights {source}: model.{encoder}.weights is null", remedy="omit the option"
                )
            if source is not None:
                files |= {f"{encoder}_weights/{path.name}": path for path in weight_files(source)}
        return files

    def text_configuration(self) -> dict[str, Any] | None:
        """Return the configuration of the text encoder's weights, or None where it starts at random."""
        return None if self.text is None else text_configuration(self.text)

    def load(self, encoder: DualEncoder, run: Run) -> None:
        """Load the weights into `encoder`; log what was used and what was not to the journal and standard error."""
        reports = {}
        if self.image is not None:
            reports["image"] = load_image_weights(encoder.image, self.image)
        if self.text is not None:
            reports["text"] = load_text_weights(encoder.text, self.text)
        for name, report in reports.items():
            for kind in ("used", "missing", "unexpected"):
                run.log_metric(f"weights/{name}_{kind}", len(getattr(report, kind)))
            source = encoder.settings.image.source if name == "image" else "timm"
            run.log_tag(f"{name}_weights", _origin(report.source, source))
            print(*(f"{name} encoder: {line}" for line in report.lines()), sep="\n", file=sys.stderr)


def _origin(file: Path, source: str) -> str:
    """Return the origin of weights with their licence: from fetch_weights' record, else as their authors state it."""
    if not (file.parent / RECORD).is_file():
        if source != "timm":
            said = SOURCES[source]
            return f"{file.name}, {said.name} ({said.reference}), license {said.license}"
        return f"{file.name}, license unknown"
    record = parse_record(file.parent / RECORD, WeightsRecord)
    return f"{record.id}, revision {record.revision}, license {record.license}"

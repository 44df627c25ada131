"""A checkpoint as a folder: what this project loads, and each encoder as timm and as transformers load it.

    model.safetensors, config.json, tokenizer/   both encoders and projections (stages/common/dual_encoder.py)
    image/                                       timm.create_model("local-dir:.../image", pretrained=True)
    text/                                        transformers.AutoModel.from_pretrained(".../text")
    README.md                                    the model card
    integrity_map.json, .png, mean_radiograph.png  phi (integrity_files.py), where the variant learns one

Every file has a sha256 side-car.
"""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from stages.common.atomic_files import atomic_path, write_record, write_sidecar, write_text
from stages.common.dual_encoder import save_checkpoint
from stages.common.report_batches import SpecialTokens, load_tokenizer

_IMAGE, _TEXT = "image.vit.", "text.bert."  # of DualEncoder's state_dict
_SPECIAL = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}


def export_checkpoint(
    folder: Path, weights: dict[str, Tensor], record: dict[str, Any], tokenizer: Path, card: str
) -> None:
    """Write the folder. `weights` are those of a candidate, `record` is a `checkpoint_record`, `tokenizer` a folder."""
    folder = Path(folder)
    save_checkpoint(folder, weights, record, tokenizer)
    _write_tensors(folder / "image" / "model.safetensors", _named(weights, _IMAGE))
    write_record(folder / "image" / "config.json", timm_configuration(record["model"]["image"], weights))
    _write_tensors(folder / "text" / "model.safetensors", _named(weights, _TEXT))
    write_record(folder / "text" / "config.json", {"model_type": "bert", **record["text_configuration"]})
    _write_tokenizer(folder / "text", load_tokenizer(tokenizer), record["model"]["text"]["max_tokens"])
    write_text(folder / "README.md", card)
    write_sidecar(folder / "README.md")


def timm_configuration(image: dict[str, Any], weights: dict[str, Tensor]) -> dict[str, Any]:
    """config.json of a folder that timm loads: grey input, mean of the patch tokens behind the last norm."""
    arguments: dict[str, Any] = {"img_size": image["input_size"], "patch_size": image["patch_size"], "in_chans": 1}
    arguments |= {"global_pool": "avg", "fc_norm": False}
    architecture = image["architecture"].partition(".")[0]
    if architecture == "custom":
        architecture = "vit_base_patch16_224"
        arguments |= {"embed_dim": image["width"], "depth": image["depth"], "num_heads": image["heads"]}
    return {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": weights[f"{_IMAGE}norm.weight"].shape[0],
        "model_args": arguments,
        "pretrained_cfg": {
            "num_classes": 0,
            "input_size": [1, image["input_size"], image["input_size"]],
            "fixed_input_size": True,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": [image["mean"]],
            "std": [image["standard_deviation"]],
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    }


def _named(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    with atomic_path(path) as temporary:  # transformers asks whose tensors these are
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata={"format": "pt"})
    write_sidecar(path)


def _write_tokenizer(folder: Path, tokenizer: Tokenizer, longest: int) -> None:
    """One that adds [CLS] and [SEP] by itself, which the stages do by hand."""
    special = SpecialTokens.of(tokenizer)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", special.cls), ("[SEP]", special.sep)],
    )
    write_text(folder / "tokenizer.json", tokenizer.to_str())
    write_sidecar(folder / "tokenizer.json")
    known = {role: token for role, token in _SPECIAL.items() if tokenizer.token_to_id(token) is not None}
    write_record(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": longest, **known},
    )

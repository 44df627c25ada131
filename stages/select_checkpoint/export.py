"""Export of the chosen checkpoint: a folder that this project, timm and transformers load.

  model.safetensors, config.json, tokenizer/   both encoders and projections (stages/common/encoders/dual.py), phi, and
                                               the mean of patches that heatmaps are read without (mean_patches)
  image/                                       timm.create_model("local-dir:.../image", pretrained=True)
  text/                                        transformers.AutoModel.from_pretrained(".../text")
  README.md                                    the model card: origin, intended use, what was measured
  integrity_map.json                           phi, centred, as rows of the patch grid, with its scale
  mean_radiograph.png                          mean of the validation radiographs at the encoder's input size, grey
  integrity_map.png                            phi over that mean: red above its own mean, blue below

Every file has a sha256 side-car. The last three (the paper's Fig. 3a) are absent for a variant without phi. Without
`publish_samples`, or with fewer than 20 radiographs (a person might be recognised), there is no mean, and the picture
is phi over grey: what is written here may be shown.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from ..common import records
from ..common.encoders.dual import save_checkpoint
from ..common.encoders.image import grid_of
from ..common.encoders.report_batches import SpecialTokens
from ..common.encoders.settings import EncoderRecord, ImageEncoderSettings
from ..common.encoders.text import load_tokenizer
from ..common.files.atomic_files import atomic_path, write_checked_json, write_sidecar, write_text
from ..common.wording import counted
from ..pretrain.contract import Candidates
from .candidate_scores import ScoredCandidate
from .contract import IntegrityFile, MeanOfRadiographs
from .decision import Decision

_IMAGE, _TEXT = "image.vit.", "text.bert."  # of DualEncoder's state_dict
_SPECIAL = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}


def export_checkpoint(
    folder: Path, weights: dict[str, Tensor], record: EncoderRecord, tokenizer: Path, card: str
) -> None:
    """Write the folder.

    `weights` are those of a candidate, `record` is a `checkpoint_record`, `tokenizer` a folder.
    """
    folder = Path(folder)
    save_checkpoint(folder, weights, record, tokenizer)
    _write_tensors(folder / "image" / "model.safetensors", _named(weights, _IMAGE))
    write_checked_json(folder / "image" / "config.json", timm_configuration(record.model.image, weights))
    _write_tensors(folder / "text" / "model.safetensors", _named(weights, _TEXT))
    write_checked_json(folder / "text" / "config.json", {"model_type": "bert", **record.text_configuration})
    _write_tokenizer(folder / "text", load_tokenizer(tokenizer), record.model.text.max_tokens)
    write_text(folder / "README.md", card)
    write_sidecar(folder / "README.md")


def timm_configuration(image: ImageEncoderSettings, weights: dict[str, Tensor]) -> dict[str, Any]:
    """Return config.json of a folder that timm loads: grey input, mean of the patch tokens after the last norm."""
    arguments: dict[str, Any] = {"img_size": image.input_size, "patch_size": image.patch_size, "in_chans": 1}
    arguments |= {"global_pool": "avg", "fc_norm": False}
    architecture = image.architecture.partition(".")[0]
    if architecture == "custom":
        architecture = "vit_base_patch16_224"
        arguments |= {"embed_dim": image.width, "depth": image.depth, "num_heads": image.heads}
    return {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": weights[f"{_IMAGE}norm.weight"].shape[0],
        "model_args": arguments,
        "pretrained_cfg": {
            "num_classes": 0,
            "input_size": [1, image.input_size, image.input_size],
            "fixed_input_size": True,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": [image.mean],
            "std": [image.standard_deviation],
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    }


def _named(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    with atomic_path(path) as temporary:  # transformers requires the format in the metadata
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata={"format": "pt"})
    write_sidecar(path)


def _write_tokenizer(folder: Path, tokenizer: Tokenizer, longest: int) -> None:
    """Write a tokenizer that adds [CLS] and [SEP] by itself; the stages add them explicitly."""
    special = SpecialTokens.of(tokenizer)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", special.cls), ("[SEP]", special.sep)],
    )
    write_text(folder / "tokenizer.json", tokenizer.to_str())
    write_sidecar(folder / "tokenizer.json")
    known = {role: token for role, token in _SPECIAL.items() if tokenizer.token_to_id(token) is not None}
    write_checked_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": longest, **known},
    )


MAP, MEAN, PICTURE = "integrity_map.json", "mean_radiograph.png", "integrity_map.png"
_FEWEST_OF_A_MEAN = 20
_SIDE = 672  # pixels of the picture; a multiple of 14 and of 12 patches
_ABOVE, _BELOW = (255, 84, 70), (72, 148, 255)  # red, green, blue
_OPACITY = 0.75  # of the patch farthest from 0; at 0 only the radiograph is visible
_NO_RADIOGRAPH = 128.0


def write_integrity_files(
    folder: Path,
    phi: Float[np.ndarray, "patches"],
    mean: Float[np.ndarray, "size size"],
    images: int,
    step: int,
) -> list[Path]:
    """Write the files, each with a side-car, and return them.

    `mean` is grey 0..1, of as many radiographs as `images`.
    """
    grid = grid_of(len(phi))
    square = phi.astype(float).reshape(grid, grid)
    shown = images >= _FEWEST_OF_A_MEAN
    record = IntegrityFile(
        step=step,
        grid=grid,
        input_size=len(mean),
        smallest=float(square.min()),
        largest=float(square.max()),
        standard_deviation=float(square.std()),
        phi=square.tolist(),
        mean_radiograph=MeanOfRadiographs(path=MEAN, images=images) if shown else None,
    )
    records.write_record(folder / MAP, record)
    grey = np.rint(255 * mean).astype(np.uint8)
    if shown:
        _write_png(folder / MEAN, grey)
    _write_png(folder / PICTURE, map_over(square, grey.astype(float) if shown else np.full(mean.shape, _NO_RADIOGRAPH)))
    return [folder / MAP, *([folder / MEAN] if shown else []), folder / PICTURE]


def map_over(
    square: Float[np.ndarray, "grid grid"], grey: Float[np.ndarray, "size size"]
) -> UInt8[np.ndarray, "side side 3"]:
    """Return a picture in red, green, blue. Colours are scaled to the largest |phi|; `grey` is 0..255."""
    extent = np.abs(square).max() or 1.0
    strength = cv2.resize(square / extent, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)[..., None]
    colours = np.where(strength > 0, np.array(_ABOVE, float), np.array(_BELOW, float))
    opacity = _OPACITY * np.abs(strength)
    below = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)[..., None]
    return np.rint((1 - opacity) * below + opacity * colours).astype(np.uint8)


def _write_png(path: Path, pixels: UInt8[np.ndarray, "rows columns *channels"]) -> None:
    encoded = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)
    write_sidecar(path)


_CARD = """---
library_name: timm
license: other
license_name: {license_name}
tags: [medical-imaging, chest-radiograph, vision-language{masked}]
---
# {name}

{made}, written by the stage `select_checkpoint`. {place}

## Made from
- Data: `{dataset}`, {studies}; fingerprint sha256 `{fingerprint}`. {fitted}
- Starting weights, whose licences the weights inherit: {starting_weights}.
- Seed {seed}. Digests: code `{code}`, settings `{settings}`, data `{data}`, image `{image}`.{resumed}

## Intended use
Research on representations of chest radiographs: features for classification, segmentation, retrieval and grounding.
Not a medical device. It was not evaluated for diagnosis, triage or any decision about a person.

## What was measured, and its limits
{chosen}

{scores}

{caution}Figures on test data,
with intervals, stand in the report of the run. No figure here says how the model does on another hospital's images, on
children, on lateral views, or by sex, age or ethnicity. Reports carry the omissions and conventions of those who wrote
them, and the model learns these, too.

## Load it without this project
```python
import timm, torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

image = timm.create_model("local-dir:image", pretrained=True).eval()  # mean of the patch tokens
text = AutoModel.from_pretrained("text", add_pooling_layer=False).eval()
tokenizer = AutoTokenizer.from_pretrained("text")
projections = load_file("model.safetensors")
# grey 0..1 at {size} x {size} pixels, then (x - {mean:.4f}) / {deviation:.4f}; shape [batch, 1, {size}, {size}]
features = image(pixels)
words = tokenizer(["There is a pneumothorax."], return_tensors="pt", padding=True)
hidden = text(input_ids=words.input_ids, attention_mask=words.attention_mask).last_hidden_state
report = {pooling}
similarity = torch.cosine_similarity(features @ projections["image_projection.weight"].T{bias},
                                     report @ projections["text_projection.weight"].T)
```
"""
_FITTED = """Who may use the data may use the
  weights, at most: they were fitted to them. The terms of the data's licence go with the weights."""
_NOT_FITTED = "The weights were not fitted to them; the mean grey value may be theirs."
_CAUTION = "These are validation figures of the candidate that looked best on them: optimistic by as much. "
_POOLING = {
    "report": "hidden[:, 0]  # [CLS]",
    "sentences": "hidden[0, 1:-1].mean(0, keepdim=True)  # of one sentence: its word pieces; a report: mean of these",
}


def model_card(
    name: str, record: Candidates, decision: Decision, scored: list[ScoredCandidate], validated: int, dataset: str
) -> str:
    """Return the card as Markdown, from candidates.json (`record`) and the decision."""
    provenance, model = record.provenance, record.encoder.model
    origins = [f"{key.removesuffix('_weights')}: {value}" for key, value in provenance.starting_weights.items()]
    resumed = provenance.resumed_from
    return _CARD.format(
        license_name="inherited-from-data-and-starting-weights" if origins else "inherited-from-data",
        name=f"MLIP, variant {name or 'unnamed'}",
        masked=", masked-modelling" if record.steps and record.mask_ratio else "",
        made=_made(record),
        place=f"Step {decision.chosen.step:,} of {record.steps:,}."
        if record.steps
        else "These are the starting weights.",
        dataset=dataset,
        studies=counted(provenance.studies, "training study", "training studies"),
        fitted=_FITTED if record.steps else _NOT_FITTED,
        fingerprint=provenance.fingerprint,
        starting_weights="; ".join(origins) or "none, both encoders began at random",
        seed=provenance.seed,
        **{key: digest[:16] for key, digest in provenance.digests.items()},
        resumed=f"\n- Went on from another training's state: {resumed}." if resumed else "",
        chosen=_chosen(decision, len(scored), counted(validated, "validation study", "validation studies")),
        caution=_CAUTION if len(scored) > 1 else "",
        scores=_table(scored, decision.chosen.step),
        size=model.image.input_size,
        mean=model.image.mean,
        deviation=model.image.standard_deviation,
        pooling=_POOLING[model.text.context],
        bias=' + projections["image_projection.bias"]' if model.image_bias else "",
    )


def _made(record: Candidates) -> str:
    """Return what the weights are: trained, or those of the start."""
    if not record.steps:
        return "Image and text encoder as they are before a training; nothing was trained"
    return (
        "Image and text encoder trained together on radiographs and their reports by the pipeline of MLIP (arXiv "
        "2401.01591)"
    )


def _chosen(decision: Decision, candidates: int, validated: str) -> str:
    """Return among what the weights were chosen, by what; a single candidate was not chosen."""
    reason = decision.reason[0].upper() + decision.reason[1:]
    if candidates == 1:
        return f"Measured on {validated}. {reason}: nothing was chosen."
    return (
        f"Chosen among {candidates} candidates on validation data alone (pairs: {validated}), by {decision.criterion}; "
        f"rule: {decision.rule}.\n{reason}."
    )


def _table(scored: list[ScoredCandidate], chosen: int) -> str:
    names = list(scored[0].scores())
    lines = ["| step | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for each in scored:
        step = f"**{each.step}**" if each.step == chosen else str(each.step)
        lines.append(f"| {step} | " + " | ".join(f"{each.scores()[name]:.4f}" for name in names) + " |")
    return "\n".join(lines)

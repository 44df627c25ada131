"""Checkpoints with the names of MAE, MRM, MaCo and MGCA: the same tokens as the model that wrote them, or one line."""

from argparse import Namespace
from pathlib import Path
from typing import get_args

import pytest
import torch
import yaml
from test_image_weights import SMALL, grey_images, rgb_model

from stages.common.encoders.image import ImageEncoder
from stages.common.encoders.settings import ImageEncoderSettings
from stages.common.errors import InputError
from stages.config import check
from stages.pretrain.published_encoders import SOURCES
from stages.pretrain.ready_made import ReadyMadeEncoder
from stages.pretrain.weights import load_image_weights

ROOT = Path(__file__).resolve().parents[3]


def zeros(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(3) for name in names}


# Tensors that stand beside the encoder in the files of each method, and how the file wraps them.
OTHERS = {
    "mae": zeros("mask_token", "decoder_embed.weight", "decoder_pos_embed", "decoder_blocks.0.norm1.weight",
                 "decoder_norm.weight", "decoder_pred.bias"),
    "mrm": zeros("mask_token", "decoder_pos_embed", "decoder_blocks.3.mlp.fc2.bias", "bert_mlp.weight",
                 "bert_encoder.model.bert.embeddings.word_embeddings.weight"),
    "maco": zeros("mask_token", "decoder_blocks.0.attn.qkv.weight", "bert_encoder.model.embeddings.LayerNorm.weight",
                  "img_mlp.weight", "img_mlp.bias", "cls_head.fc.weight"),
    "mgca": zeros("img_encoder_q.global_embed.head.0.weight", "img_encoder_q.local_embed.head.1.running_mean",
                  "text_encoder_q.model.encoder.layer.0.output.dense.weight", "prototype_layer.weight",
                  "patch_local_atten_layer.in_proj_weight", "word_local_atten_layer.out_proj.bias"),
}  # fmt: skip


def written(folder: Path, source: str) -> tuple[Path, dict[str, torch.Tensor]]:
    """A file as the method's training writes it; returns it with the encoder's own tensors."""
    vit = rgb_model(seed=3)
    named = {SOURCES[source].prefix + name: tensor for name, tensor in vit.state_dict().items()} | OTHERS[source]
    if source == "mgca":  # Lightning's
        content = {"state_dict": named, "epoch": 21, "global_step": 31_000, "pytorch-lightning_version": "1.6.4",
                   "hyper_parameters": {"img_encoder": "vit_base"}, "optimizer_states": []}  # fmt: skip
    else:
        content = {"model": named, "epoch": 199, "args": Namespace(model=source), "optimizer": {"state": {}}}
    torch.save(content, folder / f"{source}.pth")
    return folder / f"{source}.pth", vit


@torch.no_grad()
@pytest.mark.parametrize("source", sorted(OTHERS))
def test_grey_images_get_the_tokens_that_the_published_model_gave_their_copies(tmp_path, source: str) -> None:
    file, vit = written(tmp_path, source)
    encoder = ImageEncoder(SMALL.model_copy(update={"source": source})).eval()
    report = load_image_weights(encoder, file)
    grey = grey_images(32)
    mean, deviation = (torch.tensor(each).view(1, 3, 1, 1) for each in SOURCES[source].normalisation)
    expected = vit.forward_features((grey.unsqueeze(1).expand(-1, 3, -1, -1) - mean) / deviation)
    found = encoder(encoder.normalise(grey))
    torch.testing.assert_close(found, expected[:, vit.num_prefix_tokens :], atol=1e-4, rtol=1e-4)
    assert (len(report.used), report.missing) == (len(vit.state_dict()), [])
    assert set(report.unexpected) == set(OTHERS[source])
    assert any(SOURCES[source].name in note for note in report.notes)


def test_a_file_of_another_method_is_one_line(tmp_path) -> None:
    file, _ = written(tmp_path, "mrm")
    with pytest.raises(
        InputError, match=r"not a file of MGCA-ViT, whose encoder tensors are img_encoder_q\.model\.\*"
    ) as caught:
        load_image_weights(ImageEncoder(SMALL.model_copy(update={"source": "mgca"})), file)
    assert str(file) in str(caught.value)
    file, _ = written(tmp_path, "mgca")
    with pytest.raises(InputError, match="lacks"):
        load_image_weights(ImageEncoder(SMALL.model_copy(update={"source": "maco"})), file)


def test_tokens_of_another_width_are_one_line(tmp_path) -> None:
    file, _ = written(tmp_path, "mrm")
    wide = SMALL.model_copy(update={"source": "mrm", "width": 48})
    with pytest.raises(InputError, match=r"shapes differ"):
        load_image_weights(ImageEncoder(wide), file)


@pytest.mark.parametrize("source", sorted(OTHERS))
def test_a_patch_grid_that_is_no_square_is_one_line(tmp_path, source: str) -> None:
    """13 positions: [CLS] and twelve patches, which no square image has. Other square grids are resampled."""
    file, _ = written(tmp_path, source)
    content = torch.load(file, weights_only=False)
    content["state_dict" if source == "mgca" else "model"][SOURCES[source].prefix + "pos_embed"] = torch.zeros(
        1, 13, 24
    )
    torch.save(content, file)
    encoder = ImageEncoder(SMALL.model_copy(update={"source": source}))
    with pytest.raises(InputError, match="not weights of custom with patches of 8 and input of 32 pixels") as caught:
        load_image_weights(encoder, file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_source_can_be_named_and_says_where_it_was_read() -> None:
    for model in (ImageEncoderSettings, ReadyMadeEncoder):
        assert set(get_args(model.model_fields["source"].annotation)) == set(SOURCES)
    assert all("github.com/" in source.reference and source.license for source in SOURCES.values())


def config(**variants: dict) -> dict:
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    return raw | {"variants": raw["variants"] | variants, "compare": ["random", *variants]}


def test_a_variant_may_be_a_ready_made_encoder() -> None:
    checked = check(config(mrm={"encoder": {"source": "mrm", "weights": "MRM.pth"}}))
    settings = checked.settings("pretrain", variant="mrm")
    image = settings.model.image
    assert (settings.optimisation.epochs, image.source, image.weights) == (0, "mrm", "MRM.pth")
    assert (settings.normalisation, image.mean, image.standard_deviation) == ("given", 0.4978, 0.2449)
    assert (image.architecture, image.input_size, settings.model.text.weights) == ("vit_base_patch16_224", 224, None)
    assert checked.with_text == ["random"]
    small = {"encoder": {"weights": "vit_small_patch16_384.augreg_in21k_ft_in1k", "input_size": 384,
                         "architecture": "vit_small_patch16_384"}}  # fmt: skip
    assert check(config(small=small)).settings("pretrain", variant="small").model.image.input_size == 384


@pytest.mark.parametrize(
    ("encoder", "pooling"),
    [
        ({"source": "mrm"}, "mean"),
        ({"source": "maco"}, "mean"),
        ({"source": "mae"}, "mean"),
        ({"source": "mgca"}, "cls"),
        ({"source": "timm"}, "mean"),
        ({"source": "timm", "pooling": "cls"}, "cls"),
        ({"source": "mgca", "pooling": "mean"}, "mean"),
    ],
)
def test_tokens_are_pooled_as_the_authors_do_unless_told(encoder: dict, pooling: str) -> None:
    checked = check(config(theirs={"encoder": {"weights": "x.pth"} | encoder}))
    assert checked.settings("pretrain", variant="theirs").model.image.pooling == pooling


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"encoder": {"source": "mrn", "weights": "x.pth"}}, r"variants\.ours .*encoder\.source"),
        ({"encoder": {"source": "mrm"}}, r"variants\.ours .*encoder\.weights: missing key"),
        (
            {"encoder": {"weights": "x.pth", "input_size": 225}},
            r"variants\.ours.*input_size 225 must be a multiple of pat",
        ),
        ({"encoder": {"weights": "x.pth", "size": 3}}, r"variants\.ours .*encoder\.size: unknown key"),
    ],
)
def test_a_wrong_encoder_is_named(variant: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(config(ours=variant))


def test_ready_made_encoders_alone_have_nothing_to_be_asked_by() -> None:
    raw = config(mrm={"encoder": {"source": "mrm", "weights": "MRM.pth"}})
    with pytest.raises(InputError, match="all variants are published image encoders"):
        check(raw | {"compare": ["mrm"]})

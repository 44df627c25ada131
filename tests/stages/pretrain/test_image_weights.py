"""Weights of RGB vision transformers in the grey encoder: the same tokens, and a line for what does not fit."""

import json
from argparse import Namespace

import pytest
import torch
from safetensors.torch import save_file

from stages.common.encoders.image import ImageEncoder
from stages.common.encoders.settings import ImageEncoderSettings
from stages.common.encoders.timm_models import VisionTransformer, create_model
from stages.common.errors import InputError
from stages.pretrain.weights import fold_rgb, load_image_weights

MEAN, DEVIATION = [0.48, 0.31, 0.55], [0.26, 0.2, 0.31]
SMALL = ImageEncoderSettings(architecture="custom", input_size=32, patch_size=8, width=24, depth=2, heads=2, mean=0.4)


def rgb_model(seed: int = 0, **changes) -> VisionTransformer:
    """A ViT on RGB, of the sizes of SMALL, with every tensor random (biases and norms too)."""
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 0}
    return randomise(VisionTransformer(**{**sizes, "global_pool": "", **changes}), seed)


def randomise(vit: VisionTransformer, seed: int) -> VisionTransformer:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return vit.eval()


def grey_images(size: int) -> torch.Tensor:
    return torch.rand(2, size, size, generator=torch.Generator().manual_seed(7))


def tokens_of_copies(vit: VisionTransformer, grey: torch.Tensor) -> torch.Tensor:
    """What the RGB model makes of a grey image in all three channels: patch tokens after the last norm."""
    mean, deviation = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, DEVIATION))
    features = vit.forward_features((grey.unsqueeze(1).expand(-1, 3, -1, -1) - mean) / deviation)
    return features[:, vit.num_prefix_tokens :]


def written(folder, tensors, head: bool = True):
    """A folder in timm's layout on the hub."""
    folder.mkdir(exist_ok=True)
    classifier = {"head.weight": torch.zeros(10, 24), "head.bias": torch.zeros(10)} if head else {}
    save_file({**tensors, **classifier}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"pretrained_cfg": {"mean": MEAN, "std": DEVIATION}}))
    return folder


def loaded(source, settings: ImageEncoderSettings = SMALL):
    encoder = ImageEncoder(settings).eval()
    return encoder, load_image_weights(encoder, source)


@torch.no_grad()
def test_grey_images_get_the_tokens_of_their_rgb_copies(tmp_path) -> None:
    vit, grey = rgb_model(), grey_images(32)
    encoder, report = loaded(written(tmp_path / "model", vit.state_dict()))
    torch.testing.assert_close(encoder(encoder.normalise(grey)), tokens_of_copies(vit, grey), atol=1e-4, rtol=1e-4)
    assert (len(report.used), report.missing) == (len(vit.state_dict()), [])
    assert report.unexpected == ["head.bias", "head.weight"]
    assert any("summed to grey" in line and "config.json" in line for line in report.lines())


@torch.no_grad()
def test_patches_without_a_bias_are_shifted_by_their_positions(tmp_path) -> None:
    vit, grey = rgb_model(pre_norm=True), grey_images(32)
    assert vit.patch_embed.proj.bias is None
    encoder = ImageEncoder(SMALL)
    encoder.vit = rgb_model(seed=1, pre_norm=True, in_chans=1)
    load_image_weights(encoder, written(tmp_path / "clip", vit.state_dict()))
    torch.testing.assert_close(encoder(encoder.normalise(grey)), tokens_of_copies(vit, grey), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_checkpoint_of_mae_with_its_decoder(tmp_path) -> None:
    """As main_pretrain.py of MAE writes it: encoder and decoder under "model", beside options and epoch."""
    vit, grey = rgb_model(), grey_images(32)
    decoder = {"mask_token": torch.zeros(1, 1, 8), "decoder_embed.weight": torch.zeros(8, 24), "decoder_pos_embed":
               torch.zeros(1, 17, 8), "decoder_blocks.0.norm1.weight": torch.zeros(8)}  # fmt: skip
    checkpoint = {"model": vit.state_dict() | decoder, "args": Namespace(model="mae_vit"), "epoch": 799}
    torch.save(checkpoint, tmp_path / "mae.pth")
    encoder, report = loaded(tmp_path / "mae.pth")
    assert (report.missing, set(report.unexpected)) == ([], set(decoder))
    assert any("ImageNet's, assumed" in note for note in report.notes)
    weight, _ = fold_rgb(vit.patch_embed.proj.weight, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 0.4, 0.2449)
    torch.testing.assert_close(encoder.vit.patch_embed.proj.weight, weight)
    assert encoder(encoder.normalise(grey)).isfinite().all()


def test_the_tag_of_the_architecture_tells_the_normalisation(tmp_path) -> None:
    settings = ImageEncoderSettings(architecture="vit_tiny_patch16_224.augreg_in21k", input_size=32)
    vit = create_model("vit_tiny_patch16_224", img_size=32, num_classes=0)
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    _, report = loaded(tmp_path / "vit.safetensors", settings)
    assert any("mean [0.5, 0.5, 0.5]" in note and "timm's vit_tiny" in note for note in report.notes)


def test_grey_weights_are_taken_as_they_are(tmp_path) -> None:
    vit = rgb_model(in_chans=1)
    encoder, report = loaded(written(tmp_path / "grey", vit.state_dict()))
    assert torch.equal(encoder.vit.patch_embed.proj.weight, vit.patch_embed.proj.weight)
    assert report.notes == ()


def test_positions_are_interpolated_on_the_grid(tmp_path) -> None:
    """4 x 4 positions to 8 x 8: a ramp along x stays one, constant along y; [CLS] keeps its own."""
    vit = rgb_model()
    ramp = torch.arange(4.0).expand(4, 4).reshape(1, 16, 1).expand(-1, -1, 24)
    positions = torch.cat([torch.full((1, 1, 24), 9.0), ramp], dim=1)
    source = written(tmp_path / "model", vit.state_dict() | {"pos_embed": positions.clone()})
    encoder, report = loaded(source, SMALL.model_copy(update={"input_size": 64}))
    found = encoder.vit.pos_embed[0]
    assert (found[0] == 9).all()
    grid = found[1:].reshape(8, 8, 24)
    torch.testing.assert_close(grid, grid[:1].expand(8, -1, -1))
    inner = grid[0, 2:6, 0]  # pixel centres of the finer grid, away from the border
    torch.testing.assert_close(inner, torch.tensor([0.75, 1.25, 1.75, 2.25]), atol=0.08, rtol=0)
    assert any("positions resampled from (1, 17, 24) to (1, 65, 24)" in note for note in report.notes)


@torch.no_grad()
def test_patches_are_resampled_so_that_flat_images_keep_their_tokens(tmp_path) -> None:
    vit = rgb_model(in_chans=1)
    encoder, _ = loaded(
        written(tmp_path / "model", vit.state_dict()), SMALL.model_copy(update={"input_size": 64, "patch_size": 16})
    )
    flat = torch.full((1, 1, 64, 64), 0.3)
    expected = vit.patch_embed(flat[..., :32, :32])
    torch.testing.assert_close(encoder.vit.patch_embed(flat), expected, atol=1e-4, rtol=1e-4)


def test_a_missing_last_norm_is_reported_and_stays_neutral(tmp_path) -> None:
    """MAE after fine-tuning, and models with mean pooling, have `fc_norm` instead."""
    tensors = rgb_model().state_dict()
    tensors["fc_norm.weight"], tensors["fc_norm.bias"] = tensors.pop("norm.weight"), tensors.pop("norm.bias")
    encoder, report = loaded(written(tmp_path / "model", tensors, head=False))
    assert (report.missing, report.unexpected) == (["norm.weight", "norm.bias"], ["fc_norm.bias", "fc_norm.weight"])
    assert (encoder.vit.norm.weight == 1).all()


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        (rgb_model(embed_dim=16).state_dict(), r"shapes differ: \w+ is \(1, 1, 16\), must be \(1, 1, 24\)"),
        (rgb_model(depth=1).state_dict(), r"lacks 12: blocks\.1\."),
        ({"encoder.layer.0.output.dense.weight": torch.zeros(4, 4)}, "lacks"),
        (rgb_model().state_dict() | {"pos_embed": torch.zeros(1, 13, 24)}, "not weights of custom"),
    ],
)
def test_weights_of_another_architecture(tmp_path, tensors, reason: str) -> None:
    source = written(tmp_path / "model", tensors, head=False)
    with pytest.raises(InputError, match=reason) as caught:
        loaded(source)
    assert str(source) in str(caught.value)
    assert "patches of 8 and input of 32 pixels" in str(caught.value)
    assert "\n" not in str(caught.value)

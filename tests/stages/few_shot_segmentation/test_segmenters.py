"""Losses in closed form, what is trained and at which rate, and that both segmenters can learn an image by heart."""

import math

import numpy as np
import pytest
import torch
from outlined_set import SMALL, benchx_job, finetune_job, linear_job

from stages.common.encoders.image import ImageEncoder
from stages.common.errors import InputError
from stages.few_shot_segmentation.contract import FewShotSegmentationSettings
from stages.few_shot_segmentation.repetitions import schedule_of
from stages.few_shot_segmentation.segmenters import (
    FrozenUperNetSegmenter,
    Segmenter,
    SetrSegmenter,
    UperNetSegmenter,
    encoder_for,
    finetuning_loss,
    last_tokens,
    level_tokens,
    levels_of,
    linear_loss,
    resize_logits,
)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_losses_of_a_flat_prediction_in_closed_form() -> None:
    """4 x 4 pixels, 4 of them positive, p everywhere: focal = mean of (1 - p_t)^2 (-log p_t)."""
    p, positives, pixels = 0.3, 4, 16
    masks = torch.zeros(2, 4, 4)
    masks[:, 0] = 1
    logits = torch.full((2, 4, 4), logit(p))
    hit, miss = (1 - p) ** 2 * -math.log(p), p**2 * -math.log(1 - p)
    focal = (positives * hit + (pixels - positives) * miss) / pixels
    both = 2 * positives  # of the batch
    dice = (2 * p * both + 1) / (p * 2 * pixels + both + 1)
    assert float(linear_loss(logits, masks, 10.0)) == pytest.approx(10 * focal - math.log(dice), rel=1e-5)
    squares = (2 * p * positives + 1) / (p**2 * pixels + positives + 1)
    assert float(finetuning_loss(logits, masks, 2.0)) == pytest.approx(2 * focal / 2 + 1 - squares, rel=1e-5)


def test_a_perfect_prediction_costs_nothing_and_its_opposite_much() -> None:
    masks = (torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    right = 40 * (masks - 0.5)
    for loss in (linear_loss, finetuning_loss):
        assert float(loss(right, masks, 2.0)) == pytest.approx(0, abs=1e-5)
        assert float(loss(-right, masks, 2.0)) > 1
        assert float(loss(-right, torch.zeros_like(masks), 2.0)) > float(
            loss(-right.abs(), torch.zeros_like(masks), 2.0)
        )


def test_an_encoder_at_its_own_size_is_the_same_and_at_another_keeps_flat_positions(encoder: ImageEncoder) -> None:
    images = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(1))
    same = encoder_for(encoder, 16)
    torch.testing.assert_close(last_tokens(same, images), last_tokens(encoder, images))
    with torch.no_grad():
        encoder.vit.pos_embed[:] = torch.arange(16.0)
    larger = encoder_for(encoder, 32)
    assert larger.vit.pos_embed.shape == (1, 1 + 64, 16)
    torch.testing.assert_close(larger.vit.pos_embed, torch.arange(16.0).expand(1, 65, 16))
    tokens = last_tokens(larger, torch.rand(2, 32, 32))
    assert tokens.shape == (2, 16, 8, 8)
    with pytest.raises(InputError, match="not a multiple of the encoder's patch_size"):
        encoder_for(encoder, 30)


def test_tokens_lie_on_the_grid_row_by_row(encoder: ImageEncoder) -> None:
    images = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(2))
    expected = encoder(encoder.normalise(images))  # 1 N D
    found = last_tokens(encoder, images)
    torch.testing.assert_close(found[0, :, 1, 2], expected[0, 1 * 4 + 2])
    assert levels_of(12) == [4, 6, 8, 12]
    assert levels_of(2) == [1, 1, 2, 2]
    levels = level_tokens(encoder, images)
    torch.testing.assert_close(levels[0], levels[1])
    normed = encoder.vit.norm(levels[-1].flatten(2).transpose(1, 2))
    torch.testing.assert_close(normed, expected)


def learned_by_heart(segmenter: Segmenter, steps: int) -> float:
    """Dice of the training images after some steps on two of them."""
    images = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.3
    masks = torch.zeros(2, 32, 32)
    masks[0, 4:16, 8:20], masks[1, 16:28, 2:14] = 1, 1
    images = images + 0.6 * masks
    optimiser = segmenter.optimiser()
    segmenter.train()
    for _ in range(steps):
        optimiser.zero_grad()
        segmenter.loss(images, masks).backward()
        optimiser.step()
    predicted = segmenter(images) > 0
    return float(2 * (predicted & (masks > 0)).sum() / (predicted.sum() + masks.sum()))


def test_setr_learns_an_image_by_heart_and_its_encoder_does_not_change(encoder: ImageEncoder) -> None:
    torch.manual_seed(0)
    segmenter = SetrSegmenter(encoder_for(encoder, 32), linear_job(learning_rate=0.01))
    before = {name: value.clone() for name, value in segmenter.encoder.state_dict().items()}
    assert learned_by_heart(segmenter, 30) > 0.8
    assert all(torch.equal(value, before[name]) for name, value in segmenter.encoder.state_dict().items())
    assert not any(parameter.requires_grad for parameter in segmenter.encoder.parameters())
    assert not segmenter.encoder.training
    assert {id(parameter) for group in segmenter.optimiser().param_groups for parameter in group["params"]} == {
        id(parameter) for parameter in segmenter.decoder.parameters()
    }


def test_upernet_learns_an_image_by_heart_with_all_its_weights(encoder: ImageEncoder) -> None:
    torch.manual_seed(0)
    segmenter = UperNetSegmenter(encoder_for(encoder, 32), finetune_job(learning_rate=0.01))
    before = {name: value.clone() for name, value in segmenter.named_parameters()}
    assert learned_by_heart(segmenter, 15) > 0.8
    still = {name for name, value in segmenter.named_parameters() if torch.equal(value, before[name])}
    assert still == {"encoder.vit.norm.weight", "encoder.vit.norm.bias"}  # tokens are taken before the last norm


def test_benchx_learns_an_image_by_heart_and_its_encoder_does_not_change(encoder: ImageEncoder) -> None:
    torch.manual_seed(0)
    segmenter = FrozenUperNetSegmenter(encoder_for(encoder, 32), benchx_job(learning_rate=0.01))
    before = {name: value.clone() for name, value in segmenter.named_parameters()}
    assert learned_by_heart(segmenter, 30) > 0.8
    still = {name for name, value in segmenter.named_parameters() if torch.equal(value, before[name])}
    assert still == {name for name in before if name.startswith("encoder.")}
    assert not segmenter.encoder.training
    assert segmenter.trained() is segmenter.decoder


def test_the_loss_of_benchx_is_the_cross_entropy_of_both_heads(encoder: ImageEncoder) -> None:
    segmenter = FrozenUperNetSegmenter(encoder_for(encoder, 32), benchx_job(auxiliary_weight=0.5)).eval()
    images, masks = torch.rand(2, 32, 32), (torch.rand(2, 32, 32) > 0.5).float()
    levels = segmenter.decoder._levels(level_tokens(segmenter.encoder, images))
    losses = []
    for head in (segmenter.decoder.head, segmenter.decoder.auxiliary):
        shown = resize_logits(head(levels), 32).sigmoid()
        losses.append(-(masks * shown.log() + (1 - masks) * (1 - shown).log()).mean())
    torch.testing.assert_close(segmenter.loss(images, masks), losses[0] + 0.5 * losses[1])
    torch.testing.assert_close(segmenter(images), resize_logits(segmenter.decoder.head(levels), 32))


def test_learning_rates_fall_from_block_to_block(encoder: ImageEncoder) -> None:
    """Depth 2: heads at the rate, the second block at .65 of it, the first at .65^2, patches and positions at .65^3."""
    segmenter = UperNetSegmenter(encoder_for(encoder, 32), finetune_job(learning_rate=1.0))
    rates, decays = {}, {}
    names = {id(parameter): name for name, parameter in segmenter.named_parameters()}
    for group in segmenter.optimiser().param_groups:
        for parameter in group["params"]:
            rates[names[id(parameter)]] = group["lr"]
            decays[names[id(parameter)]] = group["weight_decay"]
    assert set(rates) == set(names.values())  # nothing is forgotten
    assert rates["decoder.head.classifier.weight"] == rates["decoder.pyramid.1.weight"] == 1
    assert rates["encoder.vit.blocks.1.mlp.fc1.weight"] == pytest.approx(0.65)
    assert rates["encoder.vit.blocks.0.mlp.fc1.weight"] == pytest.approx(0.65**2)
    for first in ("patch_embed.proj.weight", "pos_embed", "cls_token"):
        assert rates[f"encoder.vit.{first}"] == pytest.approx(0.65**3)
    free = {name for name, decay in decays.items() if decay == 0}
    assert {"encoder.vit.pos_embed", "encoder.vit.blocks.0.norm1.weight", "decoder.head.classifier.bias"} <= free
    assert decays["encoder.vit.blocks.0.mlp.fc1.weight"] == 0.05


def test_schedules() -> None:
    linear = schedule_of(linear_job(epochs=3, batch_size=16), 40)
    assert (linear.steps, sorted(linear.looks), linear.patience) == (6, [2, 4, 6], 10)
    assert {linear.factor(step) for step in range(6)} == {1.0}
    tuned = schedule_of(finetune_job(steps=10, warmup_steps=2, validations=4), 40)
    assert (tuned.steps, sorted(tuned.looks), tuned.patience) == (10, [3, 5, 8, 10], None)
    published = schedule_of(FewShotSegmentationSettings().job("benchx", 100), 40)
    assert (published.steps, sorted(published.looks), published.patience) == (
        20_000,
        [*range(2000, 20_001, 2000)],
        None,
    )
    assert (published.factor(1500), published.factor(10_750)) == (1, 0.5)
    np.testing.assert_allclose([tuned.factor(step) for step in range(10)], [0, 0.5, *np.arange(8, 0, -1) / 8])


def test_the_encoder_of_the_checkpoint_is_not_touched(encoder: ImageEncoder) -> None:
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    segmenter = UperNetSegmenter(encoder_for(encoder, 16), finetune_job(input_size=16, learning_rate=0.1))
    segmenter.loss(torch.rand(2, 16, 16), torch.zeros(2, 16, 16)).backward()
    segmenter.optimiser().step()
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert SMALL.image.input_size == encoder.settings.input_size == 16

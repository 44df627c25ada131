"""The settings that MaCo's public code has and our defaults have not: each by its truth, and old digests kept."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from planted_pairs import VOCABULARY, data, killed_before, small
from torch.nn import functional as F

from stages.common.encoders.dual import checkpoint_record, load_checkpoint, save_checkpoint
from stages.common.encoders.image import patchify, visibility
from stages.common.errors import InputError, InputErrors
from stages.common.files.code_digest import ROOT
from stages.config import check
from stages.config_layers import Layer, merged
from stages.pretrain.batches import sentence_orders
from stages.pretrain.contract import PretrainSettings, SentenceSettings
from stages.pretrain.losses import reconstruction_loss
from stages.pretrain.optimisation import adamw, parameter_groups, update
from stages.pretrain.training import Place, build, train

SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text())
NEITHER = {"local": {"weight": 0}, "reconstruction": {"weight": 0}}


def optimised(**changes) -> dict:
    return {**small().optimisation.model_dump(), **changes}


def trained(settings: PretrainSettings, folder: Path, seconds: float = 1e9):
    return train(build(settings, VOCABULARY), data(settings), settings, Place(folder, seconds), lambda *_: None)


def test_defaults_have_the_digest_of_before_there_was_a_choice() -> None:
    assert PretrainSettings().digest() == "2e34b09894e16a0c28647c5a928eded4b842498720fc60a9a8434e8019501b8a"
    named = {"model": {"image_bias": False}, "contrastive": {"integrity_decay": False}}
    named |= {"reconstruction": {"target_size": None}, "optimisation": {"accumulate": 1}}
    assert PretrainSettings.model_validate(named).digest() == PretrainSettings().digest()


# What the public code has (config.yaml names the file of each); the preset must not drift from it.
MACO = {
    "mask_ratio": 0.5,
    "normalisation": "given",
    "model.embedding_width": 768,
    "model.image_bias": True,
    "model.image.architecture": "vit_base_patch16_224",
    "contrastive.temperature": 0.03,
    "contrastive.integrity": "softplus",
    "contrastive.integrity_learning_rate_factor": 1,
    "contrastive.integrity_decay": True,
    "local.weight": 0,
    "reconstruction.target_size": 448,
    "reconstruction.normalise": False,
    "sentences.keep": "random",
    "sentences.shuffle": True,
    "optimisation.accumulate": 2,
    "optimisation.batch_size": 2048,
    "optimisation.epochs": 51,
    "optimisation.warmup_epochs": 2,
    "optimisation.learning_rate": 2.5e-4,
    "optimisation.weight_decay": 0.05,
    "optimisation.betas": (0.9, 0.95),
    "optimisation.clip_norm": None,
}


def test_the_preset_holds_the_public_code_s_settings() -> None:
    added = {"compare": ["maco_settings"], "datasets": {"mimic_cxr": {"dicom_to_arrow": {"size": 512}}}}
    config = check(merged(SHIPPED, added), [Layer("config.yaml", SHIPPED), Layer("ours.yaml", added)])
    settings = config.settings(PretrainSettings, variant="maco_settings")
    for key, value in MACO.items():
        found = settings
        for part in key.split("."):
            found = getattr(found, part)
        assert found == value, key


def test_stored_images_smaller_than_what_is_predicted_are_refused_before_anything_runs() -> None:
    added = {"compare": ["maco_settings"]}
    with pytest.raises(InputErrors) as refused:
        check(merged(SHIPPED, added), [Layer("config.yaml", SHIPPED), Layer("ours.yaml", added)])
    assert str(refused.value).splitlines() == [
        "config.yaml: variants.maco_settings (over pretrain): reconstruction.target_size is 448, but the images of "
        "mimic_cxr are stored at 256; set datasets.mimic_cxr.dicom_to_arrow.size to at least 448, or a smaller "
        "target_size"
    ]


# phi


@pytest.mark.parametrize("decays", [False, True])
def test_phi_alone_changes_its_decay(decays: bool) -> None:
    settings = small(contrastive={"integrity_learning_rate_factor": 1, "integrity_decay": decays})
    model = build(settings, VOCABULARY)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, settings)
    assert {group["factor"] for group in groups} == {1.0}
    decay = {names[parameter]: group["weight_decay"] for group in groups for parameter in group["params"]}
    assert decay["integrity.phi"] == (0.05 if decays else 0)
    assert decay["integrity.bias"] == decay["log_scale"] == 0


# the projection's bias


def test_a_bias_moves_embeddings_and_survives_the_checkpoint(tmp_path) -> None:
    settings = small(model={**small().model.model_dump(), "image_bias": True})
    encoder = build(settings, VOCABULARY).encoder.eval()
    tokens = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0))
    layer = encoder.image_projection
    means = F.normalize((tokens @ layer.weight.T + layer.bias).mean(dim=1), dim=-1)
    torch.testing.assert_close(encoder.embed_global(tokens), means)  # the mean of projected patches
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "tokenizer.json").write_text(WORDS)
    weights = encoder.state_dict()
    save_checkpoint(tmp_path / "kept", weights, checkpoint_record(encoder), tmp_path / "words")
    loaded = load_checkpoint(tmp_path / "kept", torch.device("cpu")).model
    assert torch.equal(loaded.embed_global(tokens), encoder.embed_global(tokens))
    assert "image_bias" in (tmp_path / "kept" / "config.json").read_text()
    old = build(small(), VOCABULARY).encoder  # is written and read without the key
    save_checkpoint(tmp_path / "old", old.state_dict(), checkpoint_record(old), tmp_path / "words")
    assert "image_bias" not in (tmp_path / "old" / "config.json").read_text()
    assert load_checkpoint(tmp_path / "old", torch.device("cpu")).model.image_projection.bias is None


WORDS = json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
                    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                              "max_input_chars_per_word": 9,
                              "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}}})  # fmt: skip


# sentences


def test_random_keeps_one_to_all_every_number_as_likely() -> None:
    keep = SentenceSettings(keep="random", shuffle=True)
    orders = [order.tolist() for order in sentence_orders(np.full(6000, 3), keep, 0)]
    assert all(set(order) <= {0, 1, 2} and len(set(order)) == len(order) for order in orders)
    numbers = Counter(map(len, orders))
    assert sum((numbers[n] - 2000) ** 2 / 2000 for n in (1, 2, 3)) < 18.4  # chi-square, 2 degrees of freedom, p = 1e-4
    firsts = Counter(order[0] for order in orders)
    assert sum((firsts[n] - 2000) ** 2 / 2000 for n in range(3)) < 18.4
    again = [order.tolist() for order in sentence_orders(np.full(6000, 3), keep, 0)]
    assert orders == again
    kept = sentence_orders(np.full(200, 5), SentenceSettings(keep="random"), 1)
    assert all(order.tolist() == sorted(order) for order in kept)  # in the report's order unless shuffled


def test_a_word_other_than_random_is_refused() -> None:
    with pytest.raises(InputError, match=r"sentences.keep: .*random"):
        PretrainSettings.from_text("{sentences: {keep: some}}")


# what is predicted


def larger(target: int | None) -> PretrainSettings:
    decoder = {**small().reconstruction.model_dump(), "target_size": target, "normalise": False}
    return small(reconstruction=decoder, local={"weight": 0})


def test_patches_of_the_larger_image_are_predicted_from_the_reduced_one() -> None:
    settings = larger(20)  # 4 x 4 patches: of 5 pixels, where the encoder sees 4
    model = build(settings, VOCABULARY).eval()
    batch = data(settings).draw(0)
    images = model.augmented(batch)
    assert images.shape == (8, 20, 20)
    reduced = F.interpolate(images.unsqueeze(1), size=(16, 16), mode="bilinear", antialias=True).squeeze(1)
    tokens = model.encoder.patch_tokens(reduced, batch.visible)
    predicted = model.decoder(tokens, batch.visible)
    assert predicted.shape == (8, 16, 25)
    target = patchify(model.encoder.image.normalise(images), 5)
    expected = reconstruction_loss(predicted, target, visibility(batch.visible, 16), normalise=False)
    torch.testing.assert_close(model(batch).diagnostics["loss/reconstruction"], expected)


def test_a_target_of_the_input_size_is_the_input() -> None:
    usual, same = (build(larger(target), VOCABULARY).eval() for target in (None, 16))
    batch = data(larger(None)).draw(0)
    assert torch.equal(usual(batch).total, same(batch).total)


def test_without_reconstruction_there_is_no_larger_image() -> None:
    settings = small(reconstruction={"weight": 0, "target_size": 400})
    assert build(settings, VOCABULARY).augmented(data(settings).draw(0)).shape == (8, 16, 16)


@pytest.mark.parametrize(
    ("target", "named"), [(18, "must be a multiple of the 4 patches"), (12, "at least"), (24, "stored at 20")]
)
def test_a_target_that_cannot_be_predicted_is_refused(target: int, named: str) -> None:
    with pytest.raises((InputError, ValueError), match=named):
        data(larger(target))


# accumulation


def test_two_accumulated_batches_give_the_mean_of_their_gradients(tmp_path) -> None:
    settings = small(**NEITHER, optimisation=optimised(epochs=1, accumulate=2, clip_norm=None, warmup_epochs=0))
    source = data(settings)
    assert (source.steps_per_epoch, source.steps) == (1, 1)  # of 26 studies 2 x 8 per step
    model = build(settings, VOCABULARY)
    optimiser = adamw(model, settings)
    losses = [model(source.draw(number)).total for number in range(2)]
    (sum(losses) / 2).backward()
    for group in optimiser.param_groups:
        group["lr"] = settings.optimisation.learning_rate * group["factor"]
    update(model, optimiser, None)
    state = trained(settings, tmp_path)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(state.model.state_dict()[name], value, atol=1e-6, rtol=0)
    assert state.step == 1
    assert state.history[0]["loss/total"] == pytest.approx(float(sum(losses).detach() / 2), rel=1e-6)


def test_the_batches_of_an_epoch_are_those_without_accumulation() -> None:
    one, two = data(small()), data(small(optimisation=optimised(accumulate=2)))
    for number in (0, 1):
        assert one.draw(number).study_ids == two.draw(number).study_ids
    assert two.steps_per_epoch == 1
    assert one.draw(2).study_ids != two.draw(2).study_ids  # of the next epoch


def test_accumulated_training_resumes_bitwise(tmp_path) -> None:
    settings = small(optimisation=optimised(accumulate=3))
    whole = trained(settings, tmp_path / "whole")
    with killed_before(2):
        trained(settings, tmp_path / "cut", seconds=0.0)
    resumed = trained(settings, tmp_path / "cut", seconds=0.0)
    assert resumed.step == whole.step == 4
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert "transport/difference_from_pot" in whole.history[-1]


def test_a_diverged_step_names_the_images_of_all_its_batches(tmp_path) -> None:
    settings = small(**NEITHER, optimisation=optimised(accumulate=2))
    model = build(settings, VOCABULARY)
    model.log_scale.data.fill_(float("nan"))
    with pytest.raises(Exception, match="not finite"):
        train(model, data(settings), settings, Place(tmp_path, 1e9), lambda *_: None)
    assert len(json.loads((tmp_path / "not_finite.json").read_text())["image_ids"]) == 16


def test_more_batches_than_the_data_have_are_refused() -> None:
    with pytest.raises(InputError, match=r"batch_size 8 x accumulate 4 exceeds the 26 training studies"):
        data(small(optimisation=optimised(accumulate=4)))

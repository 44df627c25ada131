"""The last epochs without masks: the steps before are untouched, what masks teach stays, and a kill changes nothing."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from planted_pairs import PROVENANCE, VOCABULARY, data, small
from torch.nn import functional as F

from stages.common.encoders.dual import checkpoint_record
from stages.common.files.atomic_files import read_json
from stages.pretrain import training
from stages.pretrain.contract import IntegrityKind, PretrainSettings
from stages.pretrain.learning_curve import write_curve
from stages.pretrain.losses import SemanticIntegrity
from stages.pretrain.outputs import write_candidates
from stages.pretrain.throughput import StepFlops
from stages.pretrain.training import Place, build, train
from stages.pretrain.training_state import TrainingState
from stages.summarize.readers.training import read_curve

SWITCH, STEPS = 9, 12  # of 4 epochs of 3 steps, the last without masks
IDLE = ("decoder.", "integrity.phi")


def run(settings: PretrainSettings, folder: Path, seconds: float = 1e9) -> TrainingState:
    return train(build(settings, VOCABULARY), data(settings), settings, Place(folder, seconds), lambda *_: None)


@pytest.fixture
def before_steps(monkeypatch):
    """Call a function with the state before every step; the last one given counts."""
    original, calls = training._step, [lambda _: None]

    def step(state, *rest):
        calls[-1](state)
        return original(state, *rest)

    monkeypatch.setattr(training, "_step", step)
    return calls.append


def numbers(state: TrainingState) -> dict[str, torch.Tensor]:
    """Copies of all weights and moments, by name."""
    names = {weight: name for name, weight in state.model.named_parameters()}
    moments = {f"{names[weight]} {key}": value.clone()
               for weight, kept in state.optimiser.state.items() for key, value in kept.items()}  # fmt: skip
    return {name: value.clone() for name, value in state.model.state_dict().items()} | moments


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_until_masking_ends_every_step_is_that_of_a_training_with_masks(tmp_path, before_steps) -> None:
    states: list[dict[str, torch.Tensor]] = []
    before_steps(lambda state: states.append(numbers(state)))
    masked = run(small(), tmp_path / "masked")
    ends = run(small(unmasked_epochs=1), tmp_path / "ends")
    with_masks, without = states[:STEPS], states[STEPS:]
    for one, other in zip(with_masks[: SWITCH + 1], without[: SWITCH + 1], strict=True):
        assert_equal(one, other)
    name = "encoder.image_projection.weight"
    assert not torch.equal(with_masks[SWITCH + 1][name], without[SWITCH + 1][name])
    assert masked.step == ends.step == STEPS


@pytest.mark.parametrize("stop", [SWITCH - 1, SWITCH, SWITCH + 1])
def test_a_training_killed_about_the_switch_is_bitwise_equal(tmp_path, before_steps, stop: int) -> None:
    settings = small(unmasked_epochs=1)
    whole = run(settings, tmp_path / "whole")

    def kill(state: TrainingState) -> None:
        if state.step == stop:
            raise KeyboardInterrupt

    before_steps(kill)
    with pytest.raises(KeyboardInterrupt):
        run(settings, tmp_path / "cut", seconds=0.0)
    before_steps(lambda _: None)
    resumed = run(settings, tmp_path / "cut", seconds=0.0)
    assert resumed.step == STEPS
    assert_equal(numbers(resumed), numbers(whole))
    assert resumed.history == whole.history


def test_what_masks_teach_stays_and_the_rest_learns_on(tmp_path, before_steps) -> None:
    at_switch: dict[str, torch.Tensor] = {}
    before_steps(lambda state: at_switch.update(numbers(state)) if state.step == SWITCH else None)
    optimisation = small().optimisation.model_dump() | {"weight_decay": 0.5}
    end = numbers(run(small(unmasked_epochs=1, optimisation=optimisation), tmp_path))
    assert at_switch.keys() == end.keys()
    assert "decoder.mask_token exp_avg" in end
    for name, value in end.items():
        assert torch.equal(value, at_switch[name]) == name.startswith(IDLE), name
    assert end["log_scale step"] == STEPS
    assert end["integrity.phi step"] == SWITCH


@pytest.mark.parametrize("kind", ["softplus", "share"])
@pytest.mark.parametrize("change", [{}, {"local": {"patches": "integrity", "rho": 0.1}}])
def test_gradients_without_masks_are_those_of_a_training_that_never_masks(kind: IntegrityKind, change: dict) -> None:
    """For a centred phi, whose mean is no part of the other's temperature."""
    ends = small(contrastive={"integrity": kind}, unmasked_epochs=4, **change)
    never = small(contrastive={"integrity": kind}, mask_ratio=0, reconstruction={"weight": 0}, **change)
    tuned, plain = (build(settings, VOCABULARY) for settings in (ends, never))
    phi = torch.randn(16, generator=torch.Generator().manual_seed(0))
    tuned.integrity.phi.data.copy_(phi - phi.mean())
    missing, _ = plain.load_state_dict(tuned.state_dict(), strict=False)
    assert missing == []
    tuned.freeze_what_masks_teach()
    losses = [model(data(settings).draw(0)) for model, settings in ((tuned, ends), (plain, never))]
    for loss in losses:
        loss.total.backward()
    torch.testing.assert_close(losses[0].total, losses[1].total)
    others = dict(plain.named_parameters())
    for name, weight in tuned.named_parameters():
        if name.startswith(IDLE):
            assert weight.grad is None, name
        elif weight.requires_grad:
            torch.testing.assert_close(weight.grad, others[name].grad, atol=1e-6, rtol=1e-5, msg=name)


def test_the_integrity_of_a_whole_image_is_that_of_the_mean_mask() -> None:
    """Over all masks of 3 of 6 patches, phi . m + b and the share of s have the means that the whole image gets."""
    phi = torch.randn(6, generator=torch.Generator().manual_seed(1))
    masks, whole = torch.tensor(list(combinations(range(6), 3))), torch.arange(6).expand(4, 6)
    soft, share = SemanticIntegrity("softplus", 6, usual=3), SemanticIntegrity("share", 6, usual=3)
    for each in (soft, share):
        each.phi.data.copy_(phi)
    soft.bias.data.fill_(0.3)
    torch.testing.assert_close(soft(masks), F.softplus(phi[masks].sum(dim=1) + 0.3), atol=0, rtol=0)
    torch.testing.assert_close(soft(whole), F.softplus(phi[masks].sum(dim=1).mean() + 0.3).expand(4))
    torch.testing.assert_close(share(whole), share(masks).mean().expand(4))
    torch.testing.assert_close(share(whole), torch.ones(4))


def test_a_step_without_masks_counts_whole_images_and_no_decoder() -> None:
    settings = small(unmasked_epochs=1)
    flops, source = StepFlops(build(settings, VOCABULARY)), data(settings)
    counts = [[flops.of(source.draw(step)) for step in steps] for steps in (range(SWITCH), range(SWITCH, STEPS))]
    assert flops.decoder_forward(16) == 0 < flops.decoder_forward(8)
    assert flops.image_forward(16) > flops.image_forward(8)
    never = small(mask_ratio=0, reconstruction={"weight": 0})
    expected = StepFlops(build(never, VOCABULARY)), data(never)
    assert counts[1] == [expected[0].of(expected[1].draw(step)) for step in range(SWITCH, STEPS)]


def test_the_curve_is_empty_and_all_candidates_are_compared_on_whole_images(tmp_path, monkeypatch) -> None:
    from stages.pretrain import batches

    monkeypatch.setattr(batches, "_STEPS_BETWEEN_LOGS", 3)
    settings = small(unmasked_epochs=1)
    state = run(settings, tmp_path)
    write_curve(tmp_path / "curve.csv", state.history)
    curve = read_curve(tmp_path / "curve.csv")
    assert curve["step"].tolist() == [3, 6, 9, 12]
    assert np.isnan(curve["loss/reconstruction"]).tolist() == [False, False, False, True]
    assert np.isfinite(curve["loss/total"]).all()
    assert curve["integrity/standard_deviation"][-1] == pytest.approx(0, abs=1e-6)
    encoder = checkpoint_record(state.model.encoder)
    for ends, ratio in ((settings, 0.0), (small(), 0.5)):
        write_candidates(tmp_path / "candidates.json", tmp_path / "out", tmp_path, state, ends, encoder, PROVENANCE)
        assert read_json(tmp_path / "candidates.json")["validated_mask_ratio"] == ratio


def test_masking_ends_with_a_step_however_many_batches_it_accumulates() -> None:
    settings = small(optimisation={"epochs": 3, "batch_size": 4, "accumulate": 2}, unmasked_epochs=1)
    source = data(settings)
    assert source.steps_per_epoch >= 1
    switch = source.masked_steps * 2
    visible = [source.draw(batch).visible.shape[1] for batch in (switch - 1, switch, source.steps * 2 - 1)]
    assert visible[0] < visible[1] == visible[2] == settings.model.image.patches

"""The loop: batches are pure functions of the step, an interrupted run equals a whole one, damage is survived."""

import numpy as np
import pytest
import torch
from planted_pairs import PROVENANCE, VOCABULARY, data, killed_before, small
from safetensors.torch import load_file

from stages.common.encoders.augmentation import DRAWS, augment
from stages.common.encoders.dual import checkpoint_record
from stages.common.encoders.settings import AugmentationSettings
from stages.common.errors import InputError
from stages.pretrain.contract import PretrainSettings
from stages.pretrain.learning_curve import CURVE
from stages.pretrain.optimisation import learning_rate, parameter_groups
from stages.pretrain.outputs import candidate_path, candidate_steps, write_candidates
from stages.pretrain.training import Place, build, train
from stages.pretrain.training_state import TrainingState, resume_state


def run(settings: PretrainSettings, folder, seconds: float = 1e9) -> TrainingState:
    return train(build(settings, VOCABULARY), data(settings), settings, Place(folder, seconds), lambda *_: None)


def test_a_batch_is_a_pure_function_of_its_step() -> None:
    settings = small()
    one, other = data(settings), data(settings)
    for step in (0, 1):
        other.draw(step)
    first, second = one.draw(2), other.draw(2)
    model = build(settings, VOCABULARY)
    torch.testing.assert_close(model.augmented(first), model.augmented(second), rtol=0, atol=0)
    assert torch.equal(first.visible, second.visible)
    assert torch.equal(first.reports.streams[0].token_ids, second.reports.streams[0].token_ids)
    assert not torch.equal(first.visible, one.draw(3).visible)


def test_an_epoch_draws_every_study_at_most_once_and_epochs_differ() -> None:
    source = data(small())
    assert source.steps_per_epoch == 3
    epochs = [[image.numpy().tobytes() for step in steps for image in source.draw(step).pixels]
              for steps in (range(3), range(3, 6))]  # fmt: skip
    assert all(len(set(epoch)) == 24 for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_reports_of_identical_text_are_no_negatives() -> None:
    batch = data(small()).draw(0)
    stream = batch.reports.streams[0]
    first = stream.token_ids[stream.starts[:-1] + 1]
    same_words = (first.unsqueeze(0) == first.unsqueeze(1)) & ~torch.eye(8, dtype=torch.bool)
    assert torch.equal(batch.false_negatives, same_words)
    assert same_words.any()


def test_sentence_weights_follow_the_idf_of_training_reports() -> None:
    batch = data(small()).draw(0)
    assert (batch.sentence_weights[:, 1] == 0).all()  # "Clear." is in every report
    assert (batch.sentence_weights[:, 0] > 0).all()


def test_augmentation_keeps_left_and_right_and_stays_inside() -> None:
    images = torch.zeros((64, 20, 20), dtype=torch.uint8)
    images[:, :, :10] = 200  # bright on the left
    out = augment(images, 16, AugmentationSettings(), torch.rand(DRAWS, 64, generator=torch.Generator().manual_seed(0)))
    assert out.shape == (64, 16, 16)
    assert 0 <= out.min() <= out.max() <= 1
    assert (out[:, :, 0] > out[:, :, -1]).all()


def test_augmentation_of_nothing_is_the_image() -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 16, 16)).astype(np.uint8))
    settings = AugmentationSettings(min_area=1, brightness=0, contrast=0)
    out = augment(images, 16, settings, torch.rand(DRAWS, 3, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(out, images / 255, atol=1e-5, rtol=0)


@pytest.mark.parametrize("stop", [1, 5, 9])
def test_an_interrupted_run_is_bitwise_equal(tmp_path, stop: int) -> None:
    settings = small()
    whole = run(settings, tmp_path / "whole")

    with killed_before(stop):
        run(settings, tmp_path / "cut", seconds=0.0)
    resumed = run(settings, tmp_path / "cut", seconds=0.0)
    assert resumed.step == whole.step == 12
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    for step in candidate_steps(12, 2)[:-1]:  # the last one comes from the weights in memory
        one, other = (candidate_path(tmp_path / place, step).read_bytes() for place in ("whole", "cut"))
        assert one == other


def test_a_damaged_newest_state_falls_back_to_the_one_before(tmp_path, capsys) -> None:
    settings = small()
    run(settings, tmp_path, seconds=0.0)
    newest = sorted(tmp_path.glob("step_*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:-7])
    state = TrainingState(model := build(settings, VOCABULARY), torch.optim.AdamW(parameter_groups(model, settings)))
    assert resume_state(tmp_path, state)
    assert state.step == 11
    assert "damaged" in capsys.readouterr().err


def test_two_states_are_kept(tmp_path) -> None:
    run(small(), tmp_path, seconds=0.0)
    assert [path.name for path in sorted(tmp_path.glob("step_*.pt"))] == ["step_00000011.pt", "step_00000012.pt"]


def test_training_lowers_the_loss_on_planted_pairs(tmp_path) -> None:
    settings = small(optimisation={"epochs": 60, "batch_size": 8, "learning_rate": 3e-3, "candidates": 1})
    history = run(settings, tmp_path).history
    assert history[-1]["loss/contrastive"] < 0.7 * history[0]["loss/contrastive"]
    assert history[-1]["loss/reconstruction"] < history[0]["loss/reconstruction"]


def test_no_epochs_keep_the_initial_weights(tmp_path) -> None:
    settings = small(optimisation={"epochs": 0, "batch_size": 8})
    state = run(settings, tmp_path)
    assert state.step == 0
    assert candidate_steps(0, 5) == [0]
    write_candidates(tmp_path / "candidates.json", tmp_path / "candidates", tmp_path, state, settings,
                     checkpoint_record(state.model.encoder), PROVENANCE)  # fmt: skip
    kept = load_file(tmp_path / "candidates" / "step_00000000.safetensors")
    initial = build(settings, VOCABULARY).exported_weights()
    assert kept.keys() == initial.keys()
    assert all(torch.equal(kept[name], initial[name]) for name in kept)


@pytest.mark.parametrize(
    "change",
    [
        {"local": {"rho": 0.1}},
        {"local": {"rho": 0, "patches": "integrity", "score": "transport"}},
        {"local": {"score": "attention"}},
        {"contrastive": {"integrity": "share"}},
        {"local": {"group": 4, "sentences": "uniform"}},
        {
            "mask_ratio": 0,
            "contrastive": {"integrity": "none"},
            "local": {"weight": 0},
            "reconstruction": {"weight": 0},
        },
    ],
)
def test_every_reading_of_the_paper_trains(tmp_path, change: dict) -> None:
    settings = small(**change, optimisation={"epochs": 2, "batch_size": 8, "candidates": 1})
    history = run(settings, tmp_path).history
    assert all(np.isfinite(value) for row in history for value in row.values())
    assert {column for row in history for column in row} <= set(CURVE)


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    settings = small()
    rates = [learning_rate(step, 3, settings) for step in range(12)]
    assert rates[2] == max(rates) == settings.optimisation.learning_rate
    assert rates[0] == pytest.approx(rates[2] / 3)
    assert rates[-1] < 0.05 * rates[2]


def test_only_matrices_decay_and_phi_has_its_own_rate() -> None:
    groups = parameter_groups(build(small(), VOCABULARY), small())
    assert all(parameter.ndim >= 2 for parameter in groups[0]["params"])
    assert all(group["weight_decay"] == 0 for group in groups[1:])
    assert groups[2]["factor"] == 0.1
    assert sorted(tuple(parameter.shape) for parameter in groups[2]["params"]) == [(), (16,)]


def test_masking_nothing_leaves_nothing_to_reconstruct() -> None:
    with pytest.raises(InputError, match="mask_ratio"):
        PretrainSettings.from_text("{mask_ratio: 0}")

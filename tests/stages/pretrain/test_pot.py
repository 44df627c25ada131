"""POT as the solver of a training, and as the reference that a training with ours is compared with."""

import dataclasses
import math

import pytest
import torch
from planted_pairs import VOCABULARY, data, killed_before, small
from test_transport import embeddings

from stages.common.errors import InputError
from stages.common.journal.tracking import Run
from stages.pretrain import objective, sinkhorn, training
from stages.pretrain.contract import LocalSettings, PretrainSettings
from stages.pretrain.monitor import Watch
from stages.pretrain.pot import Difference, difference_from_pot, solve_by_pot
from stages.pretrain.sinkhorn import SinkhornSettings, solve
from stages.pretrain.training import Place, build, train
from stages.pretrain.transport import DIFFERENCES_FROM_POT, transport_scores

RHOS = [0.0, 0.1, 2.0, math.inf]
WIDE = {"epochs": 20, "warmup_epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "candidates": 2}


def problem(seed: int, spread: float = 2.0):
    """Five pairs of unlike marginals, two of their sentences padded."""
    generator = torch.Generator().manual_seed(seed)
    cost = spread * torch.rand(5, 4, 9, generator=generator)
    mu, nu = torch.rand(5, 9, generator=generator) + 0.05, torch.rand(5, 4, generator=generator) + 0.05
    nu[:2, 3] = 0
    return cost, mu / mu.sum(dim=1, keepdim=True), nu / nu.sum(dim=1, keepdim=True)


@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("epsilon", [0.05, 0.3])
def test_plans_and_minima_are_ours(rho: float, epsilon: float) -> None:
    pairs = problem(0)
    ours = solve(*pairs, SinkhornSettings(epsilon, rho, 1e-6, 20_000))
    pot = solve_by_pot(*pairs, SinkhornSettings(epsilon, rho, 1e-6, 20_000))
    assert pot.plan.dtype == torch.float32
    torch.testing.assert_close(pot.plan, ours.plan, atol=1e-5, rtol=0)
    torch.testing.assert_close(pot.value, ours.value, atol=1e-5, rtol=0)
    assert pot.error < 1e-5
    assert not pot.plan[:2, 3].any()


def test_without_convergence_the_error_says_so_and_nothing_is_printed(capsys) -> None:
    assert solve_by_pot(*problem(0), SinkhornSettings(1e-3, math.inf, 1e-2, 50)).error > 1e-4
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["entropic", "transport"])
@pytest.mark.parametrize("rho", RHOS)
def test_scores_and_gradients_are_ours(kind: str, rho: float) -> None:
    p, s, mu, nu = embeddings(0, 3, 4)
    settings, found = SinkhornSettings(0.1, rho, 1e-6, 20_000), []
    for solver in (solve, solve_by_pot):
        inputs = p.clone().requires_grad_(), s.clone().requires_grad_()
        scores = transport_scores(*inputs, mu, nu, settings=settings, kind=kind, solver=solver).scores
        weights = torch.arange(12.0).view(3, 4)
        found.append((scores.detach(), *torch.autograd.grad((scores * weights).sum(), inputs)))
    torch.testing.assert_close(*found, atol=2e-4, rtol=1e-4)


def compared(pair: tuple[torch.Tensor, ...], settings: SinkhornSettings, solver=solve) -> Difference:
    """Solve one pair with `solver` and compare it with POT."""
    p, s, mu, nu = pair
    solved = solver((1 - s @ p.T).unsqueeze(0), mu.unsqueeze(0), nu.unsqueeze(0), settings)
    return difference_from_pot(p, s, mu, nu, solved.plan[0], solved.value[0], settings)


def pair_of(seed: int) -> tuple[torch.Tensor, ...]:
    """Return patches, sentences, mu, nu; the last of three sentences is padding."""
    p, s, mu, nu = embeddings(seed, 1, 1, patches=12)
    nu = torch.tensor([0.7, 0.3, 0.0])
    return p[0], s[0], mu[0], nu


@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("epsilon", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("tolerance", [1e-5, 1e-2])
def test_what_stops_at_its_tolerance_stays_in_bounds(rho: float, epsilon: float, tolerance: float) -> None:
    for seed in range(5):
        difference = compared(pair_of(seed), SinkhornSettings(epsilon, rho, tolerance, 5000))
        assert difference.in_bounds <= 1
        assert difference.minimum <= 2 * tolerance + 1e-5


def wrong_minimum(cost, mu, nu, settings) -> sinkhorn.Plans:
    solved = solve(cost, mu, nu, settings)
    return dataclasses.replace(solved, value=solved.value + 0.05)


def wrong_plan(cost, mu, nu, settings) -> sinkhorn.Plans:
    solved = solve(cost, mu, nu, settings)
    return dataclasses.replace(solved, plan=nu.unsqueeze(2) * mu.unsqueeze(1))


def unconverged(cost, mu, nu, settings) -> sinkhorn.Plans:
    return solve(cost, mu, nu, dataclasses.replace(settings, epsilon=2 * settings.epsilon))


@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("broken", [wrong_minimum, wrong_plan, unconverged])
def test_what_is_wrong_is_out_of_bounds(rho: float, broken) -> None:
    assert compared(pair_of(0), SinkhornSettings(0.1, rho, 1e-2, 50), broken).in_bounds > 1


def trained(settings: PretrainSettings, folder) -> tuple[list[dict[str, float]], Run]:
    """Return what was logged, and the journal with its alarms."""
    run = Run(folder / "journal.json", {"metrics": [], "tags": {}})
    state = train(build(settings, VOCABULARY), data(settings), settings, Place(folder, 1e9), Watch(run).log)
    return state.history, run


@pytest.mark.parametrize("rho", [0.0, 0.1, "balanced"])
def test_training_with_pot_gives_the_same_losses(tmp_path, rho) -> None:
    tight = {"rho": rho, "tolerance": 1e-6, "max_iterations": 5000}
    ours, _ = trained(small(local=tight), tmp_path / "ours")
    pot, _ = trained(small(local=tight | {"solver": "pot"}), tmp_path / "pot")
    assert ours[-1]["step"] == pot[-1]["step"] == 12
    for key in (key for key in pot[-1] if key.startswith("loss/")):
        assert pot[-1][key] == pytest.approx(ours[-1][key], abs=2e-4), key
    assert not set(DIFFERENCES_FROM_POT) & set(pot[-1])  # POT is not compared with itself


@pytest.mark.parametrize("local", [{}, {"rho": 0.1}, {"rho": 0.0}, {"score": "transport"}, {"group": 5}])
def test_every_log_compares_one_pair(tmp_path, local: dict) -> None:
    history, run = trained(small(local=local, optimisation=WIDE), tmp_path)
    assert [row["step"] for row in history] == [20, 40, 60]
    for row in history:
        assert 0 < row["transport/difference_from_pot_in_bounds"] <= 1
        assert row["transport/difference_from_pot"] <= 2e-2
    assert not run.record["tags"]


@pytest.mark.parametrize("local", [{"score": "attention"}, {"rho": 0.1, "epsilon": 0.002}, {"weight": 0}])
def test_what_pot_cannot_solve_is_not_compared(tmp_path, local: dict) -> None:
    history, _ = trained(small(local=local), tmp_path)
    assert not set(DIFFERENCES_FROM_POT) & set(history[-1])


def test_a_broken_solver_raises_the_alarm(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(objective, "solve", wrong_minimum)
    _, run = trained(small(), tmp_path)
    assert run.record["tags"]["alarm_transport"].startswith("step 12: minimum and plan of a drawn pair differ from POT")
    assert "local.solver: pot" in capsys.readouterr().err


def test_a_resumed_training_compares_as_an_uninterrupted_one(tmp_path) -> None:
    settings = small(optimisation=WIDE)
    whole, _ = trained(settings, tmp_path / "whole")
    with killed_before(30, lambda state: training.save_state(tmp_path / "cut", state)):
        trained(settings, tmp_path / "cut")
    assert trained(settings, tmp_path / "cut")[0] == whole


def test_the_pair_is_a_function_of_seed_and_step_within_a_group() -> None:
    settings = small(local={"group": 3}, optimisation=WIDE)
    drawn = [data(settings)._compared(step) for step in range(60)]
    assert drawn == [data(settings)._compared(step) for step in range(60)]
    assert all(image // 3 == report // 3 for image, report in drawn)
    assert {image for image, _ in drawn} == set(range(8))
    assert drawn != [data(settings.model_copy(update={"seed": 1}))._compared(step) for step in range(60)]
    logged = [step for step in range(60) if data(settings).draw(step).compared is not None]
    assert logged == [19, 39, 59]


def test_pot_refuses_what_would_underflow() -> None:
    assert LocalSettings(solver="pot", epsilon=0.002).suits_pot
    with pytest.raises(InputError, match=r"raise epsilon to at least 0\.003"):
        PretrainSettings.from_text("{local: {solver: pot, epsilon: 0.002, rho: 0.1}}")

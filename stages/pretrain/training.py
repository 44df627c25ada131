"""The training loop: from the state on disk (or none) to weights-only candidates."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from stages.common.digests import seed_from
from stages.common.dual_encoder import save_weights
from stages.pretrain.batches import TrainingData
from stages.pretrain.objective import Objective
from stages.pretrain.optimisation import adamw, clip_gradients, learning_rate, set_learning_rate
from stages.pretrain.ranks import ALONE, Ranks
from stages.pretrain.settings import PretrainSettings
from stages.pretrain.training_state import TrainingState, resume_state, save_state

Log = Callable[[dict[str, float], int], None]

_STEPS_BETWEEN_LOGS = 20


CPU = torch.device("cpu")


@dataclass(frozen=True)
class Place:
    """Where a training run computes, where it keeps what it must not lose, and how often it saves."""

    state: Path
    save_seconds: float
    device: torch.device = CPU


class DivergedError(Exception):
    """A loss that is not finite: training on would only hide it."""


def build(settings: PretrainSettings, vocabulary: int, text_configuration: dict | None = None) -> Objective:
    """The objective with its initial weights, a pure function of the seed; pre-trained ones may follow."""
    torch.manual_seed(seed_from("weights", settings.seed))
    return Objective(settings, vocabulary, text_configuration)


def train(
    model: Objective, data: TrainingData, settings: PretrainSettings, place: Place, log: Log, ranks: Ranks = ALONE
) -> TrainingState:
    """Run all remaining steps; returns the final state. Candidates lie in `place.state / "candidates"`.

    All `ranks` call it; rank 0 alone logs and writes, and the weights are those that it was given.
    """
    model.to(place.device).train()
    state = TrainingState(model, adamw(model, settings))
    resumed = resume_state(place.state, state, ranks)
    replica = ranks.replicate(model)
    total = settings.optimisation.epochs * data.steps_per_epoch
    due = candidate_steps(total, settings.optimisation.candidates)
    if resumed and ranks.first:
        print(f"resuming at step {state.step} of {total}", file=sys.stderr)
        for row in state.history:
            log({key: value for key, value in row.items() if key != "step"}, int(row["step"]))
    elif 0 in due and ranks.first:
        _save_candidate(model, place.state, 0)
    saved = started = time.monotonic()
    first = state.step
    while state.step < total:
        values = _step(state, replica, data, settings, place.device, total)
        if not ranks.first:
            continue
        if values is not None:
            values["speed/pairs_per_second"] = (
                (state.step - first) * settings.optimisation.batch_size / (time.monotonic() - started)
            )
            state.history.append({"step": float(state.step), **values})
            log(values, state.step)
            _report_progress(state.step, total, values)
        if state.step in due:
            _save_candidate(model, place.state, state.step)
        if state.step == total or time.monotonic() - saved > place.save_seconds:
            save_state(place.state, state)
            saved = time.monotonic()
    return state


def candidate_steps(total: int, candidates: int) -> list[int]:
    """Steps after which weights are kept: evenly spaced, the last one always; [0] without training."""
    return sorted({math.ceil(total * rank / candidates) for rank in range(1, candidates + 1)})


def candidate_path(state: Path, step: int) -> Path:
    return Path(state) / "candidates" / f"step_{step:08d}.safetensors"


def _save_candidate(model: Objective, state: Path, step: int) -> None:
    save_weights(candidate_path(state, step), model.exported_weights())


def _step(
    state: TrainingState,
    replica: nn.Module,
    data: TrainingData,
    settings: PretrainSettings,
    device: torch.device,
    total: int,
) -> dict[str, float] | None:
    """One update; returns the numbers to log at the steps where that is due. `replica` is the model, shared or not."""
    batch = data.batch(state.step).to(device)
    rate = learning_rate(state.step, data.steps_per_epoch, settings)
    set_learning_rate(state.optimiser, rate)
    with torch.autocast(device.type, torch.bfloat16, enabled=settings.optimisation.precision == "bf16"):
        losses = replica(batch, data.ranks)
    state.optimiser.zero_grad(set_to_none=True)
    losses.total.backward()
    norm = clip_gradients(state.model, settings.optimisation.clip_norm)
    if not math.isfinite(norm):
        raise DivergedError(f"step {state.step}: the gradient is not finite; lower optimisation.learning_rate")
    state.optimiser.step()
    state.step += 1
    if state.step % _STEPS_BETWEEN_LOGS and state.step != total:
        return None
    values = {key: float(value) for key, value in losses.diagnostics.items()}
    return {**values, "gradient_norm": norm, "learning_rate": rate}


def _report_progress(step: int, total: int, values: dict[str, float]) -> None:
    print(
        f"step {step:6d} of {total}  loss {values['loss/total']:.4f}  contrastive {values['loss/contrastive']:.4f}  "
        f"{values['speed/pairs_per_second']:.0f} pairs/s",
        file=sys.stderr,
        flush=True,
    )

"""The training loop: from the state on disk (or none) to weights-only candidates."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.profiler import profile, record_function

from stages.common.digests import seed_from
from stages.common.dual_encoder import save_weights
from stages.common.errors import InputError
from stages.common.state_files import disk_space_told, remove_leftovers
from stages.pretrain.batches import DrawnBatch, TrainingData
from stages.pretrain.divergence import not_finite, refuse_what_diverged
from stages.pretrain.flops import StepFlops
from stages.pretrain.hardware import compile_static_parts
from stages.pretrain.interruption import Interruption
from stages.pretrain.objective import Objective
from stages.pretrain.optimisation import adamw, clip_gradients, freeze_text_layers, learning_rate, set_learning_rate
from stages.pretrain.prefetching import Prefetcher
from stages.pretrain.profiling import step_profiler
from stages.pretrain.ranks import ALONE, Ranks
from stages.pretrain.settings import PretrainSettings
from stages.pretrain.speed import SpeedMeter, progress_line
from stages.pretrain.training_state import TrainingState, resume_state, save_state, tell_of_others

Log = Callable[[dict[str, float], int], None]

_STEPS_BETWEEN_LOGS = 20


CPU = torch.device("cpu")


@dataclass(frozen=True)
class Place:
    """Where a training run computes, where it keeps what it must not lose, and how often it saves."""

    state: Path
    save_seconds: float
    device: torch.device = CPU
    digests: dict[str, str] = field(default_factory=dict)  # of settings, data, code and image; into every state
    profile: Path | None = None  # folder for a profile of `profiled` steps
    profiled: int = 0


def build(settings: PretrainSettings, vocabulary: int, text_configuration: dict | None = None) -> Objective:
    """The objective with its initial weights, a pure function of the seed; pre-trained ones may follow."""
    torch.manual_seed(seed_from("weights", settings.seed))
    return Objective(settings, vocabulary, text_configuration)


def train(
    model: Objective, data: TrainingData, settings: PretrainSettings, place: Place, log: Log, ranks: Ranks = ALONE
) -> TrainingState:
    """Run all remaining steps; returns the final state. Candidates before the last lie in `place.state / "candidates"`.

    All `ranks` call it; rank 0 alone logs and writes, and the weights are those that it was given.
    """
    state, replica = _begin(model, settings, place, log, ranks)
    total = settings.optimisation.epochs * data.steps_per_epoch
    if state.step > total:
        raise InputError(f"resume_from: step {state.step} is beyond the {total} steps of this training; raise epochs")
    due = candidate_steps(total, settings.optimisation.candidates)
    flops = StepFlops(model)
    meter = SpeedMeter(place.device, settings.optimisation.precision, ranks.world)
    saved = time.monotonic()
    with _around_steps(data, state.step, total, place, ranks) as (batches, interruption, profiler):
        while state.step < total:
            with record_function("waiting for data"):
                drawn = batches.next()
            values = _step(state, replica, drawn, data, settings, place)
            meter.count(settings.optimisation.batch_size, flops.of(drawn))
            if profiler is not None:
                profiler.step()
            if not ranks.first:
                continue
            if state.step % _STEPS_BETWEEN_LOGS == 0 or state.step == total:
                _log(state, values, meter.look(batches.stalled, total - state.step), log, total)
            if state.step in due and state.step < total:
                save_candidate(candidate_path(place.state, state.step), model)
            if state.step == total or interruption.save or time.monotonic() - saved > place.save_seconds:
                save_state(place.state, state)
                interruption.saved(state.step)
                saved = time.monotonic()
    return state


def candidate_steps(total: int, candidates: int) -> list[int]:
    """Steps after which weights are kept: evenly spaced, the last one always; [0] without training."""
    return sorted({math.ceil(total * rank / candidates) for rank in range(1, candidates + 1)})


def candidate_path(state: Path, step: int) -> Path:
    return Path(state) / "candidates" / f"step_{step:08d}.safetensors"


def _begin(
    model: Objective, settings: PretrainSettings, place: Place, log: Log, ranks: Ranks
) -> tuple[TrainingState, nn.Module]:
    """The state to start from, and the model as the ranks share it."""
    freeze_text_layers(model, settings.optimisation.frozen_text_layers)
    model.to(place.device).train()
    if ranks.first:
        remove_leftovers(place.state)
        refuse_what_diverged(place.state)
    state = TrainingState(model, adamw(model, settings), digests=place.digests)
    resumed = resume_state(place.state, state, ranks, settings.resume_from)
    if ranks.first and not resumed:
        tell_of_others(place.state, place.digests)
    if settings.optimisation.compiled:
        compile_static_parts(model)
    if resumed and ranks.first:
        print(f"resuming at step {state.step}" + (f" ({state.origin})" if state.origin else ""), file=sys.stderr)
        for row in state.history + state.speed:
            log({key: value for key, value in row.items() if key != "step"}, int(row["step"]))
    return state, ranks.replicate(model)


@contextmanager
def _around_steps(
    data: TrainingData, first: int, total: int, place: Place, ranks: Ranks
) -> Iterator[tuple[Prefetcher, Interruption, profile | None]]:
    """What runs beside the steps: batches drawn ahead, signals noted, a profile where one was asked for."""
    with ExitStack() as stack:
        batches = stack.enter_context(Prefetcher(data, first, total, pin=place.device.type == "cuda"))
        interruption = stack.enter_context(Interruption(ranks))
        profiler = None
        if place.profile is not None and place.profiled and ranks.first:
            profiler = stack.enter_context(step_profiler(place.profile, place.profiled, place.device))
        yield batches, interruption, profiler


def _step(
    state: TrainingState,
    replica: nn.Module,
    drawn: DrawnBatch,
    data: TrainingData,
    settings: PretrainSettings,
    place: Place,
) -> dict[str, torch.Tensor | float]:
    """One update; returns its numbers, still on the device. `replica` is the model, shared or not."""
    with record_function("to the device"):
        batch = drawn.on(place.device, settings.model.image.input_size, settings.augmentation)
    rate = learning_rate(state.step, data.steps_per_epoch, settings)
    set_learning_rate(state.optimiser, rate)
    bf16 = settings.optimisation.precision == "bf16"
    with record_function("forward"), torch.autocast(place.device.type, torch.bfloat16, enabled=bf16):
        losses = replica(batch, data.ranks)
    with record_function("backward"):
        state.optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
    with record_function("update"):
        norm = clip_gradients(state.model, settings.optimisation.clip_norm)
        if not math.isfinite(norm):
            raise not_finite(place.state, state.step, losses.diagnostics, drawn, write=data.ranks.first)
        state.optimiser.step()
    state.step += 1
    return {**losses.diagnostics, "gradient_norm": norm, "learning_rate": rate}


def _log(
    state: TrainingState,
    values: dict[str, torch.Tensor | float],
    speed: dict[str, float],
    log: Log,
    total: int,
) -> None:
    numbers = {key: float(value) for key, value in values.items()}
    state.history.append({"step": float(state.step), **numbers})
    state.speed.append({"step": float(state.step), **speed})
    log(numbers | speed, state.step)
    print(progress_line(state.step, total, numbers | speed), file=sys.stderr, flush=True)


def save_candidate(path: Path, model: Objective) -> str:
    """Weights of the encoders alone; returns their sha256."""
    with disk_space_told(path):
        return save_weights(path, model.exported_weights())

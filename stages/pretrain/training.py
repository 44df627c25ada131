"""The training loop: one process's share of a pre-training, from the inputs and the state on disk to the last step."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn
from torch.profiler import profile, record_function

from ..common.data.image_store import ImageStore
from ..common.data.paired_reports import Study, read_pairs
from ..common.device import choose_device
from ..common.digests import seed_from
from ..common.encoders.report_batches import SpecialTokens
from ..common.encoders.text import load_tokenizer
from ..common.errors import InputError
from ..common.journal.tracking import Run, track_job
from ..common.training.prefetching import DrawnBatch, Prefetcher
from ..common.training.served_states import state_in_use
from ..common.training.state_files import remove_leftovers
from .batches import TrainingBatch, TrainingData
from .contract import PretrainJob, PretrainSettings
from .monitor import QueuedStep, Watch, read_together, refuse_what_diverged
from .objective import Objective
from .optimisation import adamw, freeze_text_layers, learning_rate, set_learning_rate, update
from .outputs import candidate_path, candidate_steps, save_candidate, write_outputs
from .rank_failure import failures_recorded
from .ranks import ALONE, Interruption, Ranks, connect
from .throughput import (
    SpeedMeter,
    StepFlops,
    compile_static_parts,
    hardware_tags,
    make_deterministic,
    out_of_memory_explained,
    progress_line,
    reason_not_to_compile,
    step_profiler,
    with_possible_precision,
)
from .training_state import TrainingState, resume_state, save_state, tell_of_others
from .weights import StartingWeights, with_normalisation

Log = Callable[[dict[str, float], int], None]

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Place:
    """Device, state folder and save interval of a training run."""

    state: Path
    save_seconds: float
    device: torch.device = CPU
    digests: dict[str, str] = field(default_factory=dict)  # of settings, data, code and image; stored in every state
    profile: Path | None = None  # folder for a profile of `profiled` steps
    profiled: int = 0
    not_compiled: str | None = "not asked for"  # why the model is not compiled; None: it is


def build(settings: PretrainSettings, vocabulary: int, text_configuration: dict | None = None) -> Objective:
    """Return the objective with its initial weights, a pure function of the seed; pre-trained ones may follow."""
    torch.manual_seed(seed_from("weights", settings.seed))
    return Objective(settings, vocabulary, text_configuration)


def train(
    model: Objective, data: TrainingData, settings: PretrainSettings, place: Place, log: Log, ranks: Ranks = ALONE
) -> TrainingState:
    """Run all remaining steps and return the final state; earlier candidates lie in `place.state / "candidates"`.

    All `ranks` call it; rank 0 alone logs and writes, and the weights are those that it was given. Raises InputError
    where the state is beyond the last step.
    """
    state = _begin(model, settings, place, log, ranks)
    total = data.steps
    if state.step > total:
        raise InputError(
            f"resume_from: step {state.step} is beyond the {total} steps of this training",
            remedy="raise optimisation.epochs",
        )
    due = candidate_steps(total, settings.optimisation.candidates)
    flops = StepFlops(model)
    meter = SpeedMeter(place.device, settings.optimisation.precision, ranks.world)
    batches_per_step = settings.optimisation.accumulate
    saved = time.monotonic()
    queued: QueuedStep | None = None
    replica: nn.Module | None = None
    with _around_steps(data, state.step, total, place, ranks) as (batches, interruption, profiler):
        while state.step < total:
            with record_function("waiting for data"):
                drawn = [batches.next() for _ in range(batches_per_step)]
            if replica is None or state.step == data.masked_steps:
                replica = _replica(state, drawn[0], data, settings, place)
            previous, queued = queued, _step(state, replica, drawn, data, settings, place)
            if previous is not None:  # the device has work while its norm is read
                previous.check(place.state, write=ranks.first)
            late = time.monotonic() - saved > place.save_seconds
            saves = ranks.first and (state.step == total or interruption.save or late)
            if saves or state.step in due or data.is_logged(state.step):
                queued.check(place.state, write=ranks.first)
            meter.count(settings.optimisation.batch_size * len(drawn), sum(flops.of(each.batch) for each in drawn))
            if profiler is not None:
                profiler.step()
            if not ranks.first:
                continue
            if data.is_logged(state.step):
                _log(state, queued.values, meter.look(batches.stalled, total - state.step), log, total)
            if state.step in due and state.step < total:
                save_candidate(candidate_path(place.state, state.step), model)
            if saves:
                save_state(place.state, state)
                interruption.saved(state.step)
                saved = time.monotonic()
    return state


def _begin(model: Objective, settings: PretrainSettings, place: Place, log: Log, ranks: Ranks) -> TrainingState:
    """Return the state to start from."""
    freeze_text_layers(model, settings.optimisation.frozen_text_layers)
    model.to(place.device).train()
    if ranks.first:
        remove_leftovers(place.state)
        refuse_what_diverged(place.state)
    state = TrainingState(model, adamw(model, settings), digests=place.digests)
    resumed = resume_state(place.state, state, ranks, settings.resume_from)
    if ranks.first and not resumed:
        tell_of_others(place.state, place.digests)
    if place.not_compiled is None:
        compile_static_parts(model, or_run_uncompiled=settings.optimisation.compiled == "auto")
    if resumed and ranks.first:
        print(f"resuming at step {state.step}" + (f" ({state.origin})" if state.origin else ""), file=sys.stderr)
        for row in state.history + state.speed:
            log({key: value for key, value in row.items() if key != "step"}, int(row["step"]))
    return state


def _replica(
    state: TrainingState,
    first: DrawnBatch[TrainingBatch],
    data: TrainingData,
    settings: PretrainSettings,
    place: Place,
) -> nn.Module:
    """Return the model as the ranks share it from the state's step on.

    Where masking ends, a new one is made: the ranks would wait for the gradients of what is frozen from then on. Its
    first backward pass is thrown away: DistributedDataParallel then learns in which order gradients come, lays them out
    anew, and sums in another order from the second pass on. So a training that resumes, which makes a replica of its
    own, ends bitwise as one that was left alone (docs/decisions/0052).
    """
    if state.step >= data.masked_steps:
        state.model.freeze_what_masks_teach()
    replica = data.ranks.replicate(state.model)
    if replica is not state.model:
        _backward(replica, first, 1, data, settings, place)  # its gradient leaves before the next one is computed
    return replica


@contextmanager
def _around_steps(
    data: TrainingData, first: int, total: int, place: Place, ranks: Ranks
) -> Iterator[tuple[Prefetcher[TrainingBatch], Interruption, profile | None]]:
    """Yield what runs beside the steps: batches drawn ahead, signals noted, and a profile if one was asked for."""
    with ExitStack() as stack:
        times = data.settings.optimisation.accumulate
        batches = stack.enter_context(Prefetcher(data.draw, range(first * times, total * times), place.device))
        interruption = stack.enter_context(Interruption(ranks))
        stack.enter_context(out_of_memory_explained(data.settings.optimisation, ranks.world))
        profiler = None
        if place.profile is not None and place.profiled and ranks.first:
            profiler = stack.enter_context(step_profiler(place.profile, place.profiled, place.device))
        yield batches, interruption, profiler


def _step(
    state: TrainingState,
    replica: nn.Module,
    drawn: Sequence[DrawnBatch[TrainingBatch]],
    data: TrainingData,
    settings: PretrainSettings,
    place: Place,
) -> QueuedStep:
    """Queue one update of the weights on the device. `replica` is the model, shared or not.

    Several batches are compared each within itself; the update is by the mean of their gradients. Ranks average after
    each of them: what has been accumulated is the same on all ranks, so averaging it once more changes nothing.
    """
    rate = learning_rate(state.step, data.steps_per_epoch, settings)
    set_learning_rate(state.optimiser, rate)
    state.optimiser.zero_grad(set_to_none=True)
    found = [_backward(replica, each, len(drawn), data, settings, place) for each in drawn]
    with record_function("update"):
        norm = update(state.model, state.optimiser, settings.optimisation.clip_norm)
    state.step += 1
    values = {**_means(found), "gradient_norm": norm, "learning_rate": rate}
    return QueuedStep(state.step - 1, values, norm, _together([each.batch for each in drawn]))


def _backward(
    replica: nn.Module,
    drawn: DrawnBatch[TrainingBatch],
    of: int,
    data: TrainingData,
    settings: PretrainSettings,
    place: Place,
) -> Mapping[str, torch.Tensor | float]:
    """Add the gradient of one of `of` batches to that of the weights, and return the batch's diagnostics."""
    bf16 = settings.optimisation.precision == "bf16"
    with record_function("to the device"):
        batch = drawn.to(place.device)
    with record_function("forward"), torch.autocast(place.device.type, torch.bfloat16, enabled=bf16):
        losses = replica(batch, data.ranks)
    with record_function("backward"):
        (losses.total if of == 1 else losses.total / of).backward()
    return losses.diagnostics


def _means(found: Sequence[Mapping[str, torch.Tensor | float]]) -> dict[str, torch.Tensor | float]:
    """Return the last batch's numbers, as means over all batches where all have them (transport compares one pair)."""
    if len(found) == 1:
        return dict(found[0])
    return {
        key: sum(each[key] for each in found) / len(found) if all(key in each for each in found) else value
        for key, value in found[-1].items()
    }


def _together(batches: Sequence[TrainingBatch]) -> TrainingBatch:
    """Return the last batch under the ids of all, which a message names if a number is not finite."""
    return replace(
        batches[-1],
        image_ids=tuple(name for each in batches for name in each.image_ids),
        study_ids=tuple(name for each in batches for name in each.study_ids),
    )


def _log(
    state: TrainingState,
    values: Mapping[str, torch.Tensor | float],
    speed: dict[str, float],
    log: Log,
    total: int,
) -> None:
    numbers = read_together(values)
    state.history.append({"step": float(state.step), **numbers})
    state.speed.append({"step": float(state.step), **speed})
    log(numbers | speed, state.step)
    print(progress_line(state.step, total, numbers | speed), file=sys.stderr, flush=True)


def pretrain(job: PretrainJob) -> None:
    """Train one variant, as one of the processes that share it; rank 0 keeps the journal and writes the outputs."""
    settings = job.settings
    start = StartingWeights(job.image_weights, job.text_weights)
    with connect(job.device) as ranks:
        if not ranks.first:
            _pretrain(job, start, ranks, None)
            return
        more = start.inputs(settings.model)
        if settings.resume_from:
            more["resume_from"] = Path(settings.resume_from)
        with track_job(job, more) as run, failures_recorded(ranks.store, run):
            _pretrain(job, start, ranks, run)


def _pretrain(job: PretrainJob, start: StartingWeights, ranks: Ranks, run: Run | None) -> None:
    settings = with_normalisation(job.settings, job.fingerprint)
    if settings.optimisation.deterministic:
        make_deterministic()
    place = _place(job, ranks, run)
    settings = with_possible_precision(settings, place.device, ranks)
    with state_in_use(place.state) if run else nullcontext():
        tokenizer = load_tokenizer(job.tokenizer)
        text = settings.model.text
        studies = read_pairs(job.pairs, job.sentences, "train", text.max_tokens, text.max_sentences)
        data = TrainingData(settings, ImageStore(job.images, often=True), studies, SpecialTokens.of(tokenizer), ranks)
        ranks.wait_for_slowest()
        model = build(settings, tokenizer.get_vocab_size(), start.text_configuration())
        if run is None:
            train(model, data, settings, place, lambda *_: None, ranks)
            return
        _log_start(run, settings, data.studies, place, ranks)
        start.load(model.encoder, run)
        watch = Watch(run)
        state = train(model, data, settings, place, watch.log, ranks)
        watch.end(state.history, settings.optimisation.batch_size)
        write_outputs(job, settings, state, place.state, run, len(data.studies))


def _log_start(run: Run, settings: PretrainSettings, studies: list[Study], place: Place, ranks: Ranks) -> None:
    image = settings.model.image
    compiled = "yes" if place.not_compiled is None else f"no: {place.not_compiled}"
    if place.device.type == "cuda":
        print(f"compiled: {compiled}", file=sys.stderr)
    tags = hardware_tags(place.device) | {"state": place.state.name, "processes": str(ranks.world)}
    tags |= {"precision": settings.optimisation.precision, "compiled": compiled}
    for key, value in tags.items():
        run.log_tag(key, value)
    run.log_metrics({"data/studies": len(studies),
                     "data/sentences_left_out": sum(study.sentences_left_out for study in studies),
                     "normalisation/mean": image.mean,
                     "normalisation/standard_deviation": image.standard_deviation})  # fmt: skip


def _place(job: PretrainJob, ranks: Ranks, run: Run | None) -> Place:
    """Name the state's folder by the digest of settings, data, code and image, which rank 0 knows."""
    digest, digests = ranks.from_first((run.digest, run.record["digests"]) if run else None)
    device = choose_device(job.device)
    return Place(
        job.state / digest[:16],
        job.save_minutes * 60,
        device,
        digests,
        job.journal.parent / "profile",
        job.profile,
        ranks.from_first(reason_not_to_compile(job.settings.optimisation, device) if ranks.first else None),
    )

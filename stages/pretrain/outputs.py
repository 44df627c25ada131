"""The outputs of pre-training: candidates with their index, and the learning curve."""

import math
import os
import shutil
import sys
from pathlib import Path

from ..common.encoders.dual import checkpoint_record, save_weights
from ..common.encoders.settings import EncoderRecord
from ..common.errors import InputError
from ..common.files.atomic_files import atomic_path, verify, write_sidecar
from ..common.journal.tracking import Run
from ..common.records import write_record
from ..common.training.state_files import disk_space_told
from .contract import Candidate, Candidates, PretrainJob, PretrainSettings, Provenance
from .learning_curve import write_curve
from .objective import Objective
from .training_state import TrainingState


def candidate_steps(total: int, candidates: int) -> list[int]:
    """Return the steps after which weights are kept: evenly spaced, always the last one; [0] without training."""
    return sorted({math.ceil(total * rank / candidates) for rank in range(1, candidates + 1)})


def candidate_path(state: Path, step: int) -> Path:
    """Return the path of a candidate below the state's folder."""
    return Path(state) / "candidates" / f"step_{step:08d}.safetensors"


def save_candidate(path: Path, model: Objective) -> str:
    """Write the weights of the encoders alone, and return their sha256."""
    with disk_space_told(path):
        return save_weights(path, model.exported_weights())


def write_candidates(
    index: Path,
    weights: Path,
    folder: Path,
    state: TrainingState,
    settings: PretrainSettings,
    encoder: EncoderRecord,
    provenance: Provenance,
) -> list[int]:
    """Write the candidates of a finished training into `weights`, and their `index` last; return steps that are lost.

    The last candidate comes from the weights in memory, earlier ones from the state's `folder`. A damaged one is left
    out with a warning, since days of training need not be repeated for it. Candidates before the step of a
    `resume_from` do not belong to this training.
    """
    rows: list[Candidate] = []
    lost = []
    for step in candidate_steps(state.step, settings.optimisation.candidates):
        if step <= state.first_step and state.first_step:
            continue
        source = candidate_path(folder, step)
        path = weights / source.name
        sha256 = save_candidate(path, state.model) if step == state.step else _copied(source, path)
        if sha256 is None:
            lost.append(step)
        else:
            rows.append(Candidate(step=step, path=os.path.relpath(path, index.parent), sha256=sha256))
    record = Candidates(
        steps=state.step,
        mask_ratio=settings.mask_ratio,
        validated_mask_ratio=0.0 if settings.unmasked_epochs else settings.mask_ratio,
        provenance=provenance,
        lost=lost,
        encoder=encoder,
        candidates=rows,
    )
    write_record(index, record)
    return lost


def _copied(source: Path, copy: Path) -> str | None:
    """Copy a candidate and return its sha256, or None where it was damaged."""
    try:
        verify(source)
    except InputError as error:
        print(f"warning: {error.what}; the candidate is left out", file=sys.stderr)
        return None
    with disk_space_told(copy), atomic_path(copy) as temporary:
        shutil.copyfile(source, temporary)
    return write_sidecar(copy)


def write_outputs(
    job: PretrainJob, settings: PretrainSettings, state: TrainingState, folder: Path, run: Run, studies: int
) -> None:
    """Write the outputs of a finished training, whose states lie in `folder`; `studies` counts those of training."""
    if state.origin:
        run.log_tag("resumed_from", state.origin)
    provenance = Provenance(
        starting_weights={key: value for key, value in run.record["tags"].items() if key.endswith("_weights")},
        digests=run.record["digests"],
        studies=studies,
        fingerprint=run.record["inputs"]["fingerprint"],
        resumed_from=state.origin,
        seed=settings.seed,
    )
    encoder = checkpoint_record(state.model.encoder)
    lost = write_candidates(job.candidates, job.weights, folder, state, settings, encoder, provenance)
    if lost:
        run.log_tag("candidates_lost", ", ".join(map(str, lost)))
    write_curve(job.curve, [{**row, "data/studies": studies} for row in state.history])
    _draw_curves(run, state.history)


def _draw_curves(run: Run, history: list[dict[str, float]]) -> None:
    """Draw the terms of the loss, and what usually tells first that a training goes wrong; nothing without steps."""
    steps = [row["step"] for row in history]
    for name, columns, up in (
        ("loss.svg", ("loss/total", "loss/contrastive", "loss/local", "loss/reconstruction"), "loss"),
        ("gradient_norm.svg", ("gradient_norm",), "gradient norm before clipping"),
        ("batch_accuracy.svg", ("batch/accuracy",), "share of images whose report is the nearest"),
    ):
        lines = {column: (steps, [row.get(column, math.nan) for row in history]) for column in columns
                 if any(column in row for row in history)}  # fmt: skip
        if lines:
            run.pictures.curves(name, lines, "step", up)

"""The state of a pre-training, and how it is resumed (its files: state_files.py)."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.files.atomic_files import verify
from ..common.training.served_states import unfinished_beside
from ..common.training.state_files import newest_saved, newest_whole, read_state, write_state
from .objective import Objective
from .ranks import ALONE, Ranks


@dataclass
class TrainingState:
    """Everything that a step needs besides the data; all randomness is a function of the step."""

    model: Objective
    optimiser: torch.optim.Optimizer
    step: int = 0  # steps done
    history: list[dict[str, float]] = field(default_factory=list)  # one row per logged step: functions of the step
    speed: list[dict[str, float]] = field(default_factory=list)  # one row per logged step: measurements
    digests: dict[str, str] = field(default_factory=dict)  # of settings, data, code and image
    origin: str | None = None  # the state of `resume_from`, in words
    first_step: int = 0  # the step of that state


def save_state(folder: Path, state: TrainingState) -> None:
    """Write the state and keep the newest two; see state_files.py."""
    write_state(folder, state.step, _record(state))


def resume_state(folder: Path, state: TrainingState, ranks: Ranks = ALONE, resume_from: str | None = None) -> bool:
    """Load the newest undamaged state of `folder`, else that of `resume_from`, into `state`; False where there is none.

    Rank 0 chooses the file. A state does not depend on ranks: a training may resume with another number of them. Raises
    InputError for a state of `folder` that was written by other settings, data, code or image.
    """
    path = ranks.from_first(newest_whole(folder) if ranks.first else None)
    if path is not None:
        saved = read_state(path)
        _check_digests(path, saved["digests"], state.digests)
        state.origin, state.first_step, state.speed = saved["origin"], saved["first_step"], saved["speed"]
    elif resume_from is not None:
        saved = read_state(path := Path(resume_from))
        state.origin, state.first_step = f"step {saved['step']}, sha256 {verify(path)}, {path}", saved["step"]
    else:
        return False
    try:
        state.model.load_state_dict(saved["model"])
        _load_moments(state, saved["optimiser"])
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: a state of another model ({reason})", remedy="correct pretrain.resume_from"
        ) from None
    state.step, state.history = saved["step"], saved["history"]
    ranks.wait_for_all()  # rank 0 may remove the file once all have read it
    return True


def tell_of_others(folder: Path, digests: dict[str, str]) -> None:
    """Print on standard error which unfinished training of this variant is *not* resumed, why, and how it could be.

    An edit of the code while a job waits for its next attempt gives that attempt another digest.
    """
    for other in unfinished_beside(folder):
        path = newest_saved(other)
        saved = None if path is None else _digests_of(path)
        if saved is not None:
            differ = ", ".join(name for name in digests if saved.get(name) != digests[name])
            print(f"note: this training begins at step 0: {path} was written with other {differ}; to resume from it "
                  f"set pretrain.resume_from: {path}", file=sys.stderr)  # fmt: skip


def _digests_of(path: Path) -> dict[str, str] | None:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)["digests"]
    except Exception:  # a damaged state cannot be resumed
        return None


def _record(state: TrainingState) -> dict[str, Any]:
    names = _names(state)
    moments = {names[parameter]: kept for parameter, kept in state.optimiser.state.items()}
    plain = {name: getattr(state, name) for name in ("step", "history", "speed", "digests", "origin", "first_step")}
    return {"model": state.model.state_dict(), "optimiser": moments, **plain}


def _load_moments(state: TrainingState, saved: dict[str, dict[str, Tensor]]) -> None:
    """Load moments by the name of their parameter; rates and decay are those of the settings, not of the file."""
    groups = state.optimiser.state_dict()["param_groups"]
    names = _names(state)
    order = [names[parameter] for group in state.optimiser.param_groups for parameter in group["params"]]
    moments = {place: saved[name] for place, name in enumerate(order)} if saved else {}
    state.optimiser.load_state_dict({"state": moments, "param_groups": groups})


def _names(state: TrainingState) -> dict[Tensor, str]:
    return {parameter: name for name, parameter in state.model.named_parameters()}


def _check_digests(path: Path, saved: dict[str, str], own: dict[str, str]) -> None:
    other = [name for name in own if saved.get(name) != own[name]]
    if other:
        raise InputError(
            f"{path}: written with other {', '.join(other)} than this training's",
            remedy="move it away, or name it in pretrain.resume_from to resume from it anyway",
        )

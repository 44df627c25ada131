"""Training state on disk: atomic, checked by sha256, two are kept; a damaged newest one is passed over."""

import errno
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from stages.common.atomic_files import atomic_path, sidecar_of, verify, write_sidecar
from stages.common.errors import InputError
from stages.pretrain.objective import Objective
from stages.pretrain.ranks import ALONE, Ranks

_KEPT = 2


@dataclass
class TrainingState:
    """Everything that a step needs besides the data; all randomness is a function of the step."""

    model: Objective
    optimiser: torch.optim.Optimizer
    step: int = 0  # steps done
    history: list[dict[str, float]] = field(default_factory=list)  # one row a logged step: functions of the step
    speed: list[dict[str, float]] = field(default_factory=list)  # one row a logged step: what was measured
    digests: dict[str, str] = field(default_factory=dict)  # of settings, data, code and image
    origin: str | None = None  # the state of `resume_from`, in words
    first_step: int = 0  # the step of that state


def save_state(folder: Path, state: TrainingState) -> None:
    """Write `step_<n>.pt` whole or not at all, then remove all but the newest two.

    Raises InputError where the disk is full; the states before it stay as they are.
    """
    path = Path(folder) / f"step_{state.step:08d}.pt"
    with disk_space_told(path), atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(_record(state), file)
    with disk_space_told(path):
        write_sidecar(path)
    for old in _saved(folder)[_KEPT:]:
        _remove(old)


def resume_state(folder: Path, state: TrainingState, ranks: Ranks = ALONE, resume_from: str | None = None) -> bool:
    """Load the newest whole state of `folder` into `state`, else that of `resume_from`; False where there is none.

    Rank 0 chooses the file. A state says nothing of ranks: a training may go on with another number of them. One of
    `folder` that was written by other settings, data, code or image is an InputError.
    """
    path = ranks.from_first(_newest_whole(Path(folder)) if ranks.first else None)
    if path is not None:
        saved = _read(path)
        _check_digests(path, saved["digests"], state.digests)
        state.origin, state.first_step, state.speed = saved["origin"], saved["first_step"], saved["speed"]
    elif resume_from is not None:
        saved = _read(path := Path(resume_from))
        state.origin, state.first_step = f"step {saved['step']}, sha256 {verify(path)}, {path}", saved["step"]
    else:
        return False
    try:
        state.model.load_state_dict(saved["model"])
        _load_moments(state, saved["optimiser"])
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: a state of another model ({reason}); correct pretrain.resume_from") from None
    state.step, state.history = saved["step"], saved["history"]
    ranks.wait_for_all()  # rank 0 may remove the file once all have read it
    return True


@contextmanager
def disk_space_told(path: Path) -> Iterator[None]:
    """Around writing `path`: a full disk, in whatever words the writer puts it, becomes an InputError."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if not _is_full(error):
            raise
        free = shutil.disk_usage(path.parent).free / 2**20
        raise InputError(
            f"{path}: no space left on the disk ({free:,.0f} MiB free); what was saved before is whole: make room and "
            "start again, it goes on from there"
        ) from None


def _is_full(error: BaseException | None) -> bool:
    """PyTorch's own complaint about an unfinished file hides the one of the system behind it."""
    if error is None:
        return False
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    return full or "No space left" in str(error) or "quota exceeded" in str(error) or _is_full(error.__context__)


def remove_leftovers(folder: Path) -> None:
    """Temporary files of attempts that were killed while they wrote."""
    for path in Path(folder).rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def _record(state: TrainingState) -> dict[str, Any]:
    names = _trained_names(state)
    moments = {names[parameter]: kept for parameter, kept in state.optimiser.state.items()}
    plain = {name: getattr(state, name) for name in ("step", "history", "speed", "digests", "origin", "first_step")}
    return {"model": state.model.state_dict(), "optimiser": moments, **plain}


def _load_moments(state: TrainingState, saved: dict[str, dict[str, Tensor]]) -> None:
    """Moments by the name of their parameter; rates and decay are those of the settings, not of the file."""
    groups = state.optimiser.state_dict()["param_groups"]
    names = _trained_names(state)
    order = [names[parameter] for group in state.optimiser.param_groups for parameter in group["params"]]
    moments = {place: saved[name] for place, name in enumerate(order)} if saved else {}
    state.optimiser.load_state_dict({"state": moments, "param_groups": groups})


def _trained_names(state: TrainingState) -> dict[Tensor, str]:
    return {parameter: name for name, parameter in state.model.named_parameters() if parameter.requires_grad}


def _read(path: Path) -> dict[str, Any]:
    verify(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; the bytes are those that were written
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: no training state of this version ({reason}); delete it and start again") from None


def _check_digests(path: Path, saved: dict[str, str], own: dict[str, str]) -> None:
    other = [name for name in own if saved.get(name) != own[name]]
    if other:
        raise InputError(
            f"{path}: written with other {', '.join(other)} than this training's; move it away, or name it in "
            "pretrain.resume_from to go on from it all the same"
        )


def _newest_whole(folder: Path) -> Path | None:
    """The newest state whose bytes are those that were written; damaged ones before it are removed."""
    for path in _saved(folder):
        try:
            verify(path)
        except InputError as error:
            print(f"warning: {error}; using the state before it", file=sys.stderr)
            _remove(path)
        else:
            return path
    return None


def _remove(path: Path) -> None:
    path.unlink()
    sidecar_of(path).unlink(missing_ok=True)


def _saved(folder: Path) -> list[Path]:
    """States, newest first."""
    return sorted(Path(folder).glob("step_*.pt"), reverse=True)

"""Training state on disk: atomic, checked by sha256, two are kept; a damaged newest one is passed over."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch

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
    history: list[dict[str, float]] = field(default_factory=list)  # one row a logged step


def save_state(folder: Path, state: TrainingState) -> None:
    """Write `step_<n>.pt` whole or not at all, then remove all but the newest two."""
    path = Path(folder) / f"step_{state.step:08d}.pt"
    with atomic_path(path) as temporary:
        torch.save(
            {
                "model": state.model.state_dict(),
                "optimiser": state.optimiser.state_dict(),
                "step": state.step,
                "history": state.history,
            },
            temporary,
        )
    write_sidecar(path)
    for old in _saved(folder)[_KEPT:]:
        old.unlink()
        sidecar_of(old).unlink(missing_ok=True)


def resume_state(folder: Path, state: TrainingState, ranks: Ranks = ALONE) -> bool:
    """Load the newest whole state of `folder` into `state`; False where there is none.

    Rank 0 chooses the file. A state says nothing of ranks: a training may go on with another number of them.
    """
    path = ranks.from_first(_newest_whole(folder) if ranks.first else None)
    if path is None:
        return False
    saved = torch.load(path, map_location="cpu", weights_only=True)
    state.model.load_state_dict(saved["model"])
    state.optimiser.load_state_dict(saved["optimiser"])
    state.step, state.history = saved["step"], saved["history"]
    ranks.wait_for_all()  # rank 0 may remove the file once all have read it
    return True


def _newest_whole(folder: Path) -> Path | None:
    for path in _saved(folder):
        try:
            verify(path)
        except InputError as error:
            print(f"warning: {error}; using the state before it", file=sys.stderr)
        else:
            return path
    return None


def _saved(folder: Path) -> list[Path]:
    """States, newest first."""
    return sorted(Path(folder).glob("step_*.pt"), reverse=True)

"""States of a training on disk, so that a killed job goes on: atomic, checked by sha256, a damaged one passed over."""

import sys
import time
from pathlib import Path
from typing import Any

import torch

from stages.common.atomic_files import atomic_path, sidecar_of, verify, write_sidecar
from stages.common.errors import InputError

_KEPT = 2


class ResumableState:
    """One folder of states `step_<n>.pt`; the newest two are kept.

    A training resumes exactly where all its randomness is a function of the step and the state holds the rest: weights,
    optimiser, learning rate schedule, what was best so far, and the rows that the journal has to show again.
    """

    def __init__(self, folder: Path, save_seconds: float) -> None:
        self._folder, self._save_seconds = Path(folder), save_seconds
        self._saved = time.monotonic()

    def newest(self) -> dict[str, Any] | None:
        """The newest whole state, on the CPU; None where there is none."""
        for path in self._paths():
            try:
                verify(path)
            except InputError as error:
                print(f"warning: {error}; using the state before it", file=sys.stderr)
            else:
                return torch.load(path, map_location="cpu", weights_only=True)
        return None

    def due(self) -> bool:
        """Whether so much time has passed since the last save that another is wanted."""
        return time.monotonic() - self._saved > self._save_seconds

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Tensors and plain values alone: `newest` runs no code. Written whole or not at all."""
        path = self._folder / f"step_{step:08d}.pt"
        with atomic_path(path) as temporary:
            torch.save(state, temporary)
        write_sidecar(path)
        for old in self._paths()[_KEPT:]:
            old.unlink()
            sidecar_of(old).unlink(missing_ok=True)
        self._saved = time.monotonic()

    def _paths(self) -> list[Path]:
        """Newest first."""
        return sorted(self._folder.glob("step_*.pt"), reverse=True)

"""When a training saves and from where a killed one goes on (the files themselves: state_files.py)."""

import time
from pathlib import Path
from typing import Any

import torch

from stages.common.state_files import newest_whole, write_state


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
        path = newest_whole(self._folder)
        return None if path is None else torch.load(path, map_location="cpu", weights_only=True)

    def due(self) -> bool:
        """Whether so much time has passed since the last save that another is wanted."""
        return time.monotonic() - self._saved > self._save_seconds

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Whole or not at all; tensors and plain values alone."""
        write_state(self._folder, step, state)
        self._saved = time.monotonic()

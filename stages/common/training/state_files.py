"""Training states on disk, from which a killed training resumes.

States are written atomically and checked by sha256. The newest two are kept; if the newest is damaged, the one before
it is used.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ..errors import NO_SPACE, InputError, room_at
from ..files.atomic_files import atomic_path, sidecar_of, verify, write_sidecar

_KEPT = 2


def write_state(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write `step_<n>.pt` atomically, then remove all but the newest two.

    States hold only tensors and plain values, so that reading them runs no code. Raises InputError where the disk is
    full; earlier states stay as they are.
    """
    path = Path(folder) / f"step_{step:08d}.pt"
    with disk_space_told(path), atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)
    with disk_space_told(path):
        write_sidecar(path)
    for old in _saved(folder)[_KEPT:]:
        _remove(old)


def newest_whole(folder: Path) -> Path | None:
    """Return the newest state that matches its digest, or None; newer, damaged ones are removed."""
    for path in _saved(folder):
        try:
            verify(path)
        except InputError as error:
            print(f"warning: {error}; using the state before it", file=sys.stderr)
            _remove(path)
        else:
            return path
    return None


def newest_saved(folder: Path) -> Path | None:
    """Return the newest state, undamaged or not; None where there is none."""
    return next(iter(_saved(folder)), None)


def read_state(path: Path) -> dict[str, Any]:
    """Read the value given to `write_state`, on the CPU.

    Raises InputError where the file is damaged or no such state.
    """
    verify(path)
    return _load(path)


def _load(path: Path) -> dict[str, Any]:
    """Read a state whose bytes are known to be undamaged. Raises InputError where it is no such state."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds of errors
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: not a training state of this version ({reason})", remedy="delete it and start again"
        ) from None


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of attempts that were killed while writing."""
    for path in Path(folder).rglob(".*.tmp"):
        path.unlink(missing_ok=True)


@contextmanager
def disk_space_told(path: Path) -> Iterator[None]:
    """Turn a full disk while `path` is written into an InputError, whatever error the writer raises."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if not _is_full(error):
            raise
        raise InputError(
            f"{path}: no space left on the disk, or in the quota ({room_at(path)})",
            remedy="make room and run again: the previous state is intact, and training resumes from it",
        ) from None


def _is_full(error: BaseException | None) -> bool:
    """Return whether an error, or one that it hides, says that the disk is full.

    PyTorch's own complaint about an unfinished file hides the system's error.
    """
    if error is None:
        return False
    full = getattr(error, "errno", None) in NO_SPACE
    return full or "No space left" in str(error) or "quota exceeded" in str(error) or _is_full(error.__context__)


def _remove(path: Path) -> None:
    path.unlink()
    sidecar_of(path).unlink(missing_ok=True)


def _saved(folder: Path) -> list[Path]:
    """Return the paths of the states, newest first."""
    return sorted(Path(folder).glob("step_*.pt"), reverse=True)


class ResumableState:
    """One folder of states `step_<n>.pt`; the newest two are kept.

    A training resumes exactly if all its randomness is a function of the step and the state holds the rest: weights,
    optimiser, learning-rate schedule, the best values so far, and the rows that the journal has to show again.
    """

    def __init__(self, folder: Path, save_seconds: float) -> None:
        self._folder, self._save_seconds = Path(folder), save_seconds
        self._saved = time.monotonic()

    def newest(self) -> dict[str, Any] | None:
        """Return the newest undamaged state, on the CPU; None where there is none.

        Raises InputError where it is no state of this version.
        """
        path = newest_whole(self._folder)
        return None if path is None else _load(path)

    def due(self) -> bool:
        """Return whether enough time has passed since the last save for another one."""
        return time.monotonic() - self._saved > self._save_seconds

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Save a state atomically; it holds only tensors and plain values."""
        write_state(self._folder, step, state)
        self._saved = time.monotonic()

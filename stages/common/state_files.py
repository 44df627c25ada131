"""States of a training on disk: atomic, checked by sha256, two are kept; a damaged newest one is passed over."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from stages.common.atomic_files import atomic_path, sidecar_of, verify, write_sidecar
from stages.common.errors import NO_SPACE, InputError

_KEPT = 2


def write_state(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write `step_<n>.pt` whole or not at all, then remove all but the newest two.

    Tensors and plain values alone, so that reading runs no code. Raises InputError where the disk is full; the states
    before it stay as they are.
    """
    path = Path(folder) / f"step_{step:08d}.pt"
    with disk_space_told(path), atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)
    with disk_space_told(path):
        write_sidecar(path)
    for old in _saved(folder)[_KEPT:]:
        _remove(old)


def newest_whole(folder: Path) -> Path | None:
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


def newest_saved(folder: Path) -> Path | None:
    """The newest state, whole or not."""
    return next(iter(_saved(folder)), None)


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` was given, on the CPU; InputError where the file is damaged or something else."""
    verify(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; the bytes are those that were written
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: no training state of this version ({reason}); delete it and start again") from None


def remove_leftovers(folder: Path) -> None:
    """Temporary files of attempts that were killed while they wrote."""
    for path in Path(folder).rglob(".*.tmp"):
        path.unlink(missing_ok=True)


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
    full = getattr(error, "errno", None) in NO_SPACE
    return full or "No space left" in str(error) or "quota exceeded" in str(error) or _is_full(error.__context__)


def _remove(path: Path) -> None:
    path.unlink()
    sidecar_of(path).unlink(missing_ok=True)


def _saved(folder: Path) -> list[Path]:
    """States, newest first."""
    return sorted(Path(folder).glob("step_*.pt"), reverse=True)

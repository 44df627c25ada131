"""SIGKILL inside every phase of a training, again and again: each run that survives must equal one that was left alone.

    PYTHONPATH=. python tests/stages/pretrain/kill_harness.py --kills 120

A training of 12 steps that saves after every step lives in a child process. Hooks in the child kill it at a drawn
occurrence of one phase: in a step (after its backward pass), with half of a state written, at an fsync (before, after),
at a rename (before, after), while old states are removed. The next child goes on in the same folder, until one lives to
the end; then weights, moments, history and candidates are compared bit by bit. Prints one line of JSON.
"""

import argparse
import io
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from planted_pairs import VOCABULARY, data, small

from stages.pretrain import training
from stages.pretrain.training import Place, build, train

PHASES = ("step", "write", "fsync", "rename", "prune")
_STEPS = 12


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(phase: str, occurrence: int, after: bool) -> None:
    """From now on the `occurrence`-th event of `phase` is this process's last; `after` lets the call itself happen."""
    left = [occurrence]

    def mortal(call: Callable) -> Callable:
        def wrapped(*arguments, **options):
            left[0] -= 1
            if left[0] == 0 and not after:
                die()
            result = call(*arguments, **options)
            if left[0] == 0:
                die()
            return result

        return wrapped

    def half_written(value, file) -> None:
        left[0] -= 1
        buffer = io.BytesIO()
        save(value, buffer)
        file.write(buffer.getvalue()[: None if left[0] else len(buffer.getvalue()) // 2])
        if left[0] == 0:
            file.flush()
            die()

    save = torch.save
    if phase == "step":
        training.update = mortal(training.update)
    elif phase == "write":
        torch.save = half_written
    elif phase == "fsync":
        os.fsync = mortal(os.fsync)
    elif phase == "rename":
        Path.replace = mortal(Path.replace)
    else:
        Path.unlink = mortal(Path.unlink)


def live(folder: Path, *death) -> bool:
    """One attempt in a child of its own; whether it lived to the end. Anything but an end or a SIGKILL is an error."""
    child = os.fork()
    if not child:
        status = 1
        try:
            with Path(os.devnull).open("w") as nowhere:
                sys.stderr = nowhere
                if death:
                    kill_at(*death)
                settings = small()
                train(build(settings, VOCABULARY), data(settings), settings, Place(folder, 0.0), lambda *_: None)
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL:
        return False
    if ended:
        raise RuntimeError(f"an attempt in {folder} failed with status {ended}")
    return True


def outcome(folder: Path) -> tuple[dict, dict[str, bytes]]:
    """Everything that must not depend on how often a training was killed."""
    state = torch.load(folder / f"step_{_STEPS:08d}.pt", weights_only=True)
    state.pop("speed")  # what was measured, not what was computed
    if left := list(folder.rglob(".*.tmp")):
        raise RuntimeError(f"temporary files stay behind: {left}")
    return state, {path.name: path.read_bytes() for path in (folder / "candidates").iterdir()}


def equal(one: object, other: object) -> bool:
    """Bitwise, through mappings and lists."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one.view(torch.uint8) if one.ndim else one, other.view(torch.uint8) if one.ndim else other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def harness(kills: int, least: int, seed: int) -> dict:
    """Kill until there are `kills` in all and `least` in each phase; the last training is finished, too."""
    draw, seen, runs, unequal = random.Random(seed), Counter(dict.fromkeys(PHASES, 0)), 0, 0
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "whole"
        if not live(whole):
            raise RuntimeError("the undisturbed training was killed")
        expected = outcome(whole)
        while seen.total() < kills or min(seen.values()) < least:
            folder = Path(temporary) / f"run_{runs}"
            lived = False
            while not lived:
                phase = min(PHASES, key=lambda each: (seen[each], draw.random()))
                lived = live(folder, phase, draw.randint(1, 8), draw.random() < 0.5)
                seen[phase] += not lived
            runs += 1
            unequal += not equal(outcome(folder)[0], expected[0]) or outcome(folder)[1] != expected[1]
    return {"kills": seen.total(), "by_phase": dict(seen), "runs": runs, "unequal": unequal, "seed": seed}


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=120)
    options.add_argument("--least", type=int, default=None, help="kills in each phase (default: a sixth of --kills)")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    torch.set_num_threads(1)
    found = harness(given.kills, given.kills // 6 if given.least is None else given.least, given.seed)
    print(json.dumps(found))
    sys.exit(bool(found["unequal"]))

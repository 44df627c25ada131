"""Monitoring of a training: numbers that show it going wrong before its loss does.

An alarm is one line on standard error and a tag in the journal; the training continues. A gradient that is not
finite stops the training and names the batch, and an unchanged training is refused afterwards.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.files.atomic_files import read_json, write_json
from ..common.journal.tracking import Run
from .batches import TrainingBatch
from .contract import RECOVERED

_COLLAPSED = 1.5  # effective rank below which the embeddings lie on a line
_FLAT = 1e-4  # standard deviation of phi below which s is the same for every mask
_STEPS_TO_WARM_UP = 500  # phi starts flat, and embeddings start close together


def alarms_of(values: Mapping[str, float], step: int) -> dict[str, str]:
    """Return what is wrong with the numbers logged at `step`: a message per kind of alarm; {} where nothing is."""
    found = {}
    infinite = [key for key, value in values.items() if not math.isfinite(value)]
    if infinite:
        found["not_finite"] = f"{', '.join(infinite)} not finite: lower optimisation.learning_rate"
    if values.get("transport/difference_from_pot_in_bounds", 0.0) > 1:
        found["transport"] = (
            f"minimum and plan of a drawn pair differ from POT's by {values['transport/difference_from_pot']:.1e} and "
            f"{values['transport/plan_difference_from_pot']:.1e}, more than local.tolerance allows: raise "
            "local.max_iterations, or train with local.solver: pot"
        )
    if step < _STEPS_TO_WARM_UP:
        return found
    for part in ("images", "reports"):
        rank = values.get(f"effective_rank/{part}", math.inf)
        if rank < _COLLAPSED:
            found[f"collapse_{part}"] = (
                f"embeddings of {part} have collapsed (effective rank {rank:.2f}): lower optimisation.learning_rate, "
                "or enlarge batch_size"
            )
    spread = values.get("integrity/phi_standard_deviation", math.inf)
    if spread < _FLAT:
        found["flat_phi"] = (
            f"the integrity map is flat (standard deviation {spread:.1e}): it has no effect; raise "
            "contrastive.integrity_learning_rate_factor, or do not use the map"
        )
    return found


# What a training may pass through and recover from, with what is then over.
_PASSING = {
    "collapse_images": "embeddings of images are no longer collapsed",
    "collapse_reports": "embeddings of reports are no longer collapsed",
    "flat_phi": "the integrity map is no longer flat",
}
_LASTING = 1000  # steps after which they are said at once


class Watch:
    """Logger to a journal that raises each kind of alarm once, with the step at which it was first seen.

    What a training may pass through is said when it has lasted, or holds at the end; and if it recovers after that.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._raised: set[str] = set()
        self._since: dict[str, int] = {}  # kind -> step since which it holds
        self._last: dict[str, str] = {}  # what is wrong with the last step

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log the numbers of a step, and raise new alarms."""
        self._run.log_metrics(values, step)
        if "loss/total" not in values:  # the speed of a step, which a resumed training logs again by itself
            return
        self._last = alarms_of(values, step)
        for kind in [*self._since.keys() - self._last.keys()]:
            since = self._since.pop(kind)
            if kind in _PASSING and kind in self._raised:
                self._raised.remove(kind)
                self._say(kind, f"{RECOVERED} at step {step}: {_PASSING[kind]}; seen from step {since} on")
        for kind, message in self._last.items():
            since = self._since.setdefault(kind, step)
            if kind not in _PASSING or step - since >= _LASTING:
                self._raise(kind, f"step {since}: {message}")

    def end(self, history: Sequence[Mapping[str, float]], batch_size: int) -> None:
        """Raise the alarms that hold at the end of a training, whose logged steps are `history`."""
        for kind, message in self._last.items():
            self._raise(kind, f"from step {self._since[kind]} to the end: {message}")
        if message := not_learned(history, batch_size):
            self._raise("not_learned", message)

    def _raise(self, kind: str, message: str) -> None:
        if kind not in self._raised:
            self._raised.add(kind)
            self._say(kind, message)

    def _say(self, kind: str, message: str) -> None:
        self._run.log_tag(f"alarm_{kind}", message)
        print(f"warning: {message}", file=sys.stderr, flush=True)


def not_learned(history: Sequence[Mapping[str, float]], batch_size: int) -> str:
    """Return what shows that a training has not learned which report belongs to which image; nothing where it has.

    The last quarter of the logged steps is judged. By chance one image in `batch_size` is nearest to its own report:
    over n batches that is n images, give or take sqrt(n). A training is at chance within two such deviations, and got
    worse if both its accuracy and its contrastive loss are worse than at the first logged step.
    """
    rows = [row for row in history if "batch/accuracy" in row and "loss/contrastive" in row]
    if not rows or batch_size < 2:
        return ""
    late = rows[-max(1, len(rows) // 4) :]

    def mean(key: str) -> float:
        return sum(row[key] for row in late) / len(late)

    accuracy, chance = mean("batch/accuracy"), 1 / batch_size
    at_chance = accuracy <= chance * (1 + 2 / math.sqrt(len(late)))
    got_worse = accuracy < rows[0]["batch/accuracy"] and mean("loss/contrastive") > rows[0]["loss/contrastive"]
    if not at_chance and not got_worse:
        return ""
    than = f"chance ({chance:.3f})" if at_chance else f"at step {rows[0]['step']:.0f} ({rows[0]['batch/accuracy']:.3f})"
    return (
        f"the training has not learned: over its last {len(late)} logged steps, {accuracy:.3f} of the images are "
        f"nearest to their own report, no more than {than}; raise optimisation.epochs, or lower batch_size for more "
        "steps"
    )


_RECORD = "not_finite.json"
_NAMED = 16  # ids in the message; the record lists all of them


class DivergedError(Exception):
    """A loss or gradient is not finite: to continue training would only hide it."""


def not_finite(
    folder: Path, step: int, diagnostics: Mapping[str, Tensor | float], batch: TrainingBatch, write: bool
) -> DivergedError:
    """Return the error of a 0-based step; with `write`, write its record with all ids to the state's folder.

    Ids are those of the tables of pairs: the data set's own, or keyed ones (`identifiers`), never a file's name.
    """
    numbers = read_together(diagnostics)
    wrong = [key for key, value in numbers.items() if not math.isfinite(value) and key != "gradient_norm"]
    what = f"{', '.join(wrong)} not finite" if wrong else "the gradient is not finite"
    named = ", ".join(batch.image_ids[:_NAMED])
    path = folder / _RECORD
    if len(batch.image_ids) > _NAMED:
        named += f" and {len(batch.image_ids) - _NAMED} more in {path}"
    message = (
        f"step {step}: {what}; images of the batch: {named}; lower optimisation.learning_rate, or inspect these images "
        "and their reports"
    )
    if write:
        record = {"step": step, "message": message, "image_ids": batch.image_ids, "study_ids": batch.study_ids}
        write_json(path, record | {"numbers": {key: str(value) for key, value in numbers.items()}})
    return DivergedError(message)


class QueuedStep:
    """A step that the device may not have finished: its numbers, and its batch in case they are not finite.

    The norm of its gradient is copied as soon as it is known. To read it after the next step has been queued, waits for
    this step alone, and the device never runs out of work.
    """

    def __init__(self, number: int, values: Mapping[str, Tensor | float], norm: Tensor, batch: TrainingBatch) -> None:
        """Begin the copy of `norm`; `number` is the 0-based step."""
        self._number, self.values, self._batch = number, values, batch
        self._norm = norm.to("cpu", non_blocking=True)
        self._copied = torch.cuda.Event() if norm.is_cuda else None
        if self._copied is not None:
            self._copied.record()

    def check(self, folder: Path, write: bool) -> None:
        """Raise DivergedError, as `not_finite` returns it, if the gradient is not finite."""
        if self._copied is not None:
            self._copied.synchronize()
        if not math.isfinite(float(self._norm)):
            raise not_finite(folder, self._number, self.values, self._batch, write)


def read_together(values: Mapping[str, Tensor | float]) -> dict[str, float]:
    """Return numbers as floats; those on a device are read at once, since each read would wait for it."""
    there = {key: value.detach().double() for key, value in values.items() if isinstance(value, Tensor)}
    read = dict(zip(there, torch.stack(list(there.values())).tolist(), strict=True)) if there else {}
    return {key: read[key] if key in read else float(value) for key, value in values.items()}


def refuse_what_diverged(folder: Path) -> None:
    """Raise InputError where this same training has diverged before: it would do so again."""
    path = folder / _RECORD
    if path.is_file():
        raise InputError(
            read_json(path)["message"],
            remedy="a previous attempt with the same settings, data and code stopped so: change them, or "
            f"delete {path} to try again",
        )

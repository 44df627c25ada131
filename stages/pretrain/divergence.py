"""A loss or gradient that is no number stops the training, names the batch, and is not tried again as it was."""

import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from stages.common.atomic_files import read_json, write_json
from stages.common.errors import InputError
from stages.pretrain.batches import DrawnBatch

_RECORD = "not_finite.json"
_NAMED = 16  # ids in the message; all of them stand in the record


class DivergedError(Exception):
    """A loss or gradient that is not finite: training on would only hide it."""


def not_finite(
    folder: Path, step: int, diagnostics: Mapping[str, Tensor | float], batch: DrawnBatch, write: bool
) -> DivergedError:
    """The error of a 0-based step; with `write`, its record with all ids goes into the state's folder.

    Ids are those of the tables of pairs: the data set's own, or keyed ones (`identifiers`), never a file's name.
    """
    numbers = {key: float(value) for key, value in diagnostics.items()}
    wrong = [key for key, value in numbers.items() if not math.isfinite(value)]
    what = f"{', '.join(wrong)} not finite" if wrong else "the gradient is not finite"
    named = ", ".join(batch.image_ids[:_NAMED])
    path = folder / _RECORD
    if len(batch.image_ids) > _NAMED:
        named += f" and {len(batch.image_ids) - _NAMED} more in {path}"
    message = (
        f"step {step}: {what}; images of the batch: {named}; lower optimisation.learning_rate, or look at these images "
        "and their reports"
    )
    if write:
        record = {"step": step, "message": message, "image_ids": batch.image_ids, "study_ids": batch.study_ids}
        write_json(path, record | {"numbers": {key: str(value) for key, value in numbers.items()}})
    return DivergedError(message)


def refuse_what_diverged(folder: Path) -> None:
    """Raise InputError where this very training has diverged before: the same numbers would come again."""
    path = folder / _RECORD
    if path.is_file():
        raise InputError(f"{read_json(path)['message']}; these settings, data and code did so before: change them, or "
                         f"delete {path} to try again")  # fmt: skip

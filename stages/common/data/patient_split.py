"""Train, validation and test parts by patient, and shares and subsets of the training part.

The part is a pure function of the patient's id, so adding data moves no patient to another part.
"""

import math
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, model_validator

from ..digests import seed_from
from ..errors import InputError
from ..settings import Settings

Split = Literal["train", "validation", "test"]

# Names that distributions and users have for the three parts (MIMIC-CXR-JPG says "validate").
PART_NAMES: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "validate", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def in_share(patient_id: str, share: float) -> bool:
    """Return whether a share of the training patients, in (0, 1], has a patient.

    Shares are nested, and their patients are drawn by a hash of the id: independent of every seed and of the split.
    """
    return seed_from("data_share", patient_id) < share * 2**63  # exact: Python compares an int with a float so


def subset_size(images: int, percent: int) -> int:
    """Return how many of the `images` of one target a nested subset of the training part has: at least one if any."""
    return min(images, max(1, math.floor(images * percent / 100 + 0.5)))


def by_rarest(labels: Iterable[tuple[str, str, int]]) -> list[list[str]]:
    """Return the units (patients or images) of labels (unit, finding, target) in groups, each sorted.

    First come those without a finding, then those of each finding, the rarest first. A unit with several findings is in
    the group of the rarest of them.
    """
    every, positive = set(), dict[str, set[str]]()
    for unit, finding, target in labels:
        every.add(unit)
        if target:
            positive.setdefault(finding, set()).add(unit)
    groups, taken = [], set[str]()
    for finding in sorted(positive, key=lambda name: (len(positive[name]), name)):
        groups.append(sorted(positive[finding] - taken))
        taken |= positive[finding]
    return [sorted(every - taken), *groups]


class PatientSplit(Settings):
    """The split of patients into training, validation and test."""

    seed: int = Field(0, description="seed of the hash that splits patients")
    validation: float = Field(0.02, ge=0, lt=1, description="share of patients")
    test: float = Field(0.02, ge=0, lt=1, description="share of patients")
    use_distributed: bool = Field(True, description="use the distribution's own split if it has one")

    @model_validator(mode="after")
    def _leaves_patients_to_train(self) -> "PatientSplit":
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must leave patients for training: make their sum less than 1")
        return self


def split_of(patient_id: str, settings: PatientSplit, distributed: str | None = None) -> Split:
    """Return the part that a patient belongs to."""
    if settings.use_distributed and distributed is not None:
        try:
            return PART_NAMES[distributed.strip().lower()]
        except KeyError:
            known = ", ".join(PART_NAMES)
            raise InputError(
                f"split {distributed!r} of the distribution is unknown", remedy=f"expected one of {known}"
            ) from None
    place = seed_from("patient_split", settings.seed, patient_id) / 2**63  # uniform in [0, 1)
    if place < settings.test:
        return "test"
    return "validation" if place < settings.test + settings.validation else "train"

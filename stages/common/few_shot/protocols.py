"""Protocols of the few-shot stages, and how a job departs from the published protocol whose name it bears.

A shortened run must not pass for the protocol.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from ..data.patient_split import Split
from ..records import Count, Estimate, Overlap, Record
from ..settings import Settings, UniqueList, dotted

Departures = dict[str, list[Any]]  # setting -> [its value, the published one]; empty where the job is as published


Protocol = Literal["linear", "finetune", "benchx"]


class ScheduledSettings(Settings):
    """Base of the settings of `finetune`, some of which depend on the fraction in percent."""

    schedule: Mapping[int, Settings]


class FewShotBlock(Settings):
    """Base of both few-shot blocks of config.yaml, which list the jobs.

    A job sees only its own settings, so a change for another job does not rerun it.
    """

    protocols: UniqueList[Protocol] = Field(
        ["linear", "finetune"], description="protocols to run, in the order of the tables"
    )
    fractions: UniqueList[int] = Field(
        [1, 10, 100], description="percent of the training images; each must be in label_images.subsets"
    )
    linear: Settings
    finetune: ScheduledSettings
    benchx: Settings

    @model_validator(mode="after")
    def _every_fraction_has_a_schedule(self) -> "FewShotBlock":
        lacking = [fraction for fraction in self.fractions if fraction not in self.finetune.schedule]
        if "finetune" in self.protocols and lacking:
            raise ValueError(f"finetune.schedule has no entry for fraction {lacking[0]}; add it with all its keys")
        return self

    def values_of(self, protocol: Protocol, fraction: int) -> dict[str, Any]:
        """Return the settings of one job: those of all protocols, the protocol's own, and the fraction's."""
        values = {name: value for name, value in self if name not in FewShotBlock.model_fields}
        values |= {"fraction": fraction} | dict(getattr(self, protocol))
        schedule = values.pop("schedule", None)
        return values if schedule is None else values | dict(schedule[fraction])


class MeanOfSeeds(Estimate):
    """A mean over repetitions and their standard deviation, which is null for a single repetition."""

    spread: float | None


class PartSize(Record):
    """Numbers of images and of positives of a part."""

    images: Count
    positives: Count


class FewShotRecord(Record):
    """Contents of result.json that both few-shot stages share."""

    protocol: str
    fraction: Count = Field(description="percent of the training images")
    skipped: str | None = Field(description="why nothing could be learned from the subset")
    departures: Departures = Field(
        description="departures from the published protocol: setting -> [value, published value]"
    )
    always_different: tuple[str, ...] = Field(
        description="differences from the authors' code that exist with any settings"
    )
    resampled_by: Literal["patient", "image"]
    overlap: Overlap

    def check_whole(
        self, images: Collection[str], seeds: Collection[Record], metrics: Collection[str], figures: Collection[str]
    ) -> None:
        """Raise ValueError where a part of the images or one of the `figures` is missing, or a skipped job has some."""
        if missing := set(get_args(Split)) - set(images):
            raise ValueError(f"images lacks {', '.join(sorted(missing))}")
        if self.skipped is None and (missing := set(figures) - set(metrics)):
            raise ValueError(f"metrics lacks {', '.join(sorted(missing))}")
        if self.skipped is None and not seeds:
            raise ValueError("not skipped, but no seeds are given")
        if self.skipped is not None and (seeds or metrics):
            raise ValueError("skipped, but seeds or metrics are given")


def departures(job: Settings, published: Settings, free: Collection[str]) -> Departures:
    """Return the settings of `job` that differ from `published`, by dotted name, except those that are `free`."""
    own, theirs = (dotted(each.model_dump(mode="json", exclude=set(free))) for each in (job, published))
    return {name: [value, theirs[name]] for name, value in own.items() if value != theirs[name]}


def in_words(jobs: Sequence[Mapping[str, Sequence[Any]]]) -> str:
    """Return departures of several jobs in words, or "" for none.

    For example: `steps 100, 200 instead of 2,000, 10,000; epochs 5 instead of 50`.
    """
    lines = []
    for name in dict.fromkeys(name for each in jobs for name in each):
        pairs = [each[name] for each in jobs if name in each]
        own, theirs = (", ".join(dict.fromkeys(_word(pair[place]) for pair in pairs)) for place in (0, 1))
        lines.append(f"{name.replace('_', ' ').replace('.', ': ')} {own} instead of {theirs}")
    return "; ".join(lines)


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "-".join(map(_word, value))
    if value is None or isinstance(value, bool):
        return {None: "none", False: "no", True: "yes"}[value]
    return f"{value:,}" if isinstance(value, int) else str(value)

"""What phrase_grounding reads and writes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from ..common.contract import Job, device_option, product, source
from ..common.encoders.settings import READINGS, EncodingSettings, HeatmapReading
from ..common.errors import InputError
from ..common.records import Count, Estimate, Overlap, Record
from ..common.settings import Name

PHRASES = "phrases"  # the set whose query is each pair's own phrase, beside those of the prompt file
MEANS = ("pointing", "contrast_to_noise", "absolute_contrast_to_noise", "mean_iou")  # averaged over findings


class PhraseGroundingSettings(EncodingSettings):
    """Settings of phrase grounding."""

    prompts: str | None = Field(
        None,
        min_length=1,
        description="prompt file, absolute or relative to the checkout; its affirming prompts are localised, and some "
        "`readings` use those that deny. Null: none, and the data set has no grounding, unless its boxes are of "
        "phrases (`label_images.columns.phrase`)",
    )
    readings: dict[Name, HeatmapReading] = Field(
        dict(READINGS),
        min_length=1,
        description="ways of reading heatmaps, under names of your choice; the hits of each are reported. The "
        "pointing game on validation chooses one for each set of prompts; of equal ones, and without that part, the "
        "first by name is taken. Readings that are given replace these. One that needs an "
        "integrity map, or training images, is left out where there is none",
    )
    random_encoders: int = Field(
        5,
        ge=0,
        description="rivals with the checkpoint's architecture and random weights. Their heatmaps are read in the same "
        "ways, less the mean over the data set where the checkpoint's has that of pre-training; validation chooses",
    )
    supervised_probe: bool = Field(
        True, description="fit a linear classifier of patches on training regions: what the patches hold"
    )
    draws: int = Field(1000, gt=0, description="bootstrap draws of the 95 % intervals")
    seed: int = Field(0, description="seed of the bootstrap, of the choice of samples and of training images for means")
    publish_samples: bool = Field(False, description="write sample radiographs with their heatmaps for the report")
    samples: int = Field(
        4, ge=0, description="number of samples; drawn by seed among test positives, not chosen by eye"
    )


class PointingGame(Record):
    """Shares of hits on the same images, by pointer; null where lungs are unknown."""

    heatmap: Estimate
    heatmap_in_lung: Estimate | None  # the peak inside the lungs, comparable with the random point there
    random_in_lung: Estimate | None
    random_in_content: Estimate | None = Field(description="if lungs are unknown")
    fixed_peak_of_training: Estimate | None
    word_prior: Estimate | None  # a point derived from the phrase's words; null where they name no place
    brightness: Estimate | None = None  # standardised by place; null without training regions
    random_encoders: Estimate | None = None  # mean over several encoders with random weights
    supervised_probe: Estimate | None = None  # null without training regions
    brightness_in_lung: Estimate | None = None
    random_encoders_in_lung: Estimate | None = None

    def rivals(self, names: Sequence[str]) -> list[str]:
        """Return those of `names` that were measured."""
        return [name for name in names if getattr(self, name) is not None]


class IntegrityMap(Record):
    """Values of phi on the patch grid, row-major and centred, with their scale."""

    values: list[float] = Field(min_length=1)
    lung_auc: float | None
    smallest: float
    largest: float
    standard_deviation: float

    @property
    def grid(self) -> int:
        """Return the number of patches along one side."""
        return math.isqrt(len(self.values))

    @model_validator(mode="after")
    def _is_square(self) -> "IntegrityMap":
        if self.grid**2 != len(self.values):
            raise ValueError(f"{len(self.values)} values do not form a square patch grid")
        return self


class LocatedPart(Record):
    """Counts of one part's positives."""

    positives: Count
    positives_without_region: Count  # left out: neither box nor mask
    regions_too_small: Count  # left out: no stored pixel shows them


class LocatedPhrases(Record):
    """Counts of the phrases of one finding in the test part."""

    pairs: Count = Field(description="of an image with a phrase, each with its own boxes: the units of its figures")
    images: Count
    regions_too_small: Count = Field(description="pairs that are left out: no stored pixel shows their boxes")


class ReadingHits(Record):
    """Hits of the heatmap in one reading."""

    validation: float | None
    test: Estimate = Field(description="told for every reading; not used for the choice")


class FindingResult(Record):
    """Figures of one finding by measure, prompt set and pointer; those of `phrases` are over pairs, not images."""

    finding: str
    images: Count
    located: dict[str, LocatedPart] = Field(description="by part; empty where only phrases are pointed at")
    phrases: LocatedPhrases | None = None
    lacking: dict[str, str] = Field(
        default_factory=dict, description="`prompts` or `phrases` -> why nothing is said with them"
    )
    resampled_by: str
    pointing: dict[str, PointingGame] = Field(min_length=1)
    contrast_to_noise: dict[str, dict[str, Estimate | None]]  # by prompt set and pointer
    absolute_contrast_to_noise: dict[str, dict[str, Estimate | None]] = Field(
        description="mean of the absolute values, as BioViL has it"
    )
    iou: dict[str, dict[str, Estimate | None]] = Field(description="null without a validation part")
    iou_threshold: dict[str, dict[str, float | None]] = Field(description="chosen on validation")
    mean_iou: dict[str, dict[str, Estimate | None]] = Field(
        description="mean of the IoU at .1 .2 .3 .4 .5 of the map scaled to 0..1"
    )
    place_words: dict[str, list[str]]
    reading: dict[str, str] = Field(description="reading of the heatmap that validation chose, by prompt set")
    readings: dict[str, dict[str, ReadingHits]] = Field(description="by prompt set and reading")
    random_encoders: dict[str, list[float]] = Field(
        default_factory=dict, description="hits of each random encoder, by prompt set"
    )
    integrity_map: IntegrityMap | None
    overlap: Overlap

    @property
    def left_out(self) -> str:
        """Return how many test positives were left out and why, in words; empty where none was."""
        test = self.located.get("test")
        if test is None or test.positives == self.images:
            return ""
        reasons = {"without box or mask": test.positives_without_region, "too small to show": test.regions_too_small}
        found = ", ".join(f"{number} {reason}" for reason, number in reasons.items() if number)
        return f"of {test.positives} with the finding; {found}"

    @model_validator(mode="after")
    def _adds_up(self) -> "FindingResult":
        if self.pointing.keys() == {PHRASES}:
            return self
        test = self.located.get("test")
        if test is None:
            raise ValueError("located lacks test")
        if test.positives != self.images + test.positives_without_region + test.regions_too_small:
            raise ValueError("located.test: positives are not images + positives_without_region + regions_too_small")
        return self

    @model_validator(mode="after")
    def _has_every_prompt_set(self) -> "FindingResult":
        names = ("contrast_to_noise", "absolute_contrast_to_noise", "iou", "mean_iou", "place_words", "readings")
        for name in names:
            if missing := self.pointing.keys() - getattr(self, name).keys():
                raise ValueError(f"{name} lacks the prompt set {', '.join(sorted(missing))}")
        return self

    def measured_on(self) -> object:
        """Return what does not depend on the encoders, so that two results can be compared."""
        encoder = {"heatmap", "heatmap_in_lung", "random_encoders", "random_encoders_in_lung", "supervised_probe"}
        games = {name: game.model_dump(exclude=encoder) for name, game in self.pointing.items()}
        return self.finding, self.images, self.located, self.phrases, self.resampled_by, games


class GroundingResult(Record):
    """Contents of result.json: the findings that were measured, in the order of the prompt file, then of phrases."""

    findings: list[FindingResult] = Field(min_length=1)
    not_measured: dict[str, str] = Field(default_factory=dict, description="finding -> why nothing is said on it")
    mean_hits: Estimate = Field(
        description="hits of the heatmap, mean over findings, each with the first of its prompt sets"
    )
    means: dict[str, dict[str, Estimate]] = Field(
        description="by prompt set and measure, of the heatmap: mean over the findings that have the set"
    )


def readings_of(readings: Mapping[str, HeatmapReading], finding: str, name: str, denying: bool) -> list[str]:
    """Return the readings of a set of prompts: where it has no `denying` ones, nothing can be subtracted for them.

    Raises InputError where no reading is left.
    """
    found = [reading for reading, own in readings.items() if denying or not own.denied]
    if not found:
        what = f"phrase_grounding.readings: all have `denied`, but set {name} of {finding} has no `negative` prompts"
        more = "" if name == PHRASES else ", or `negative` prompts to the set"
        raise InputError(what, f"add a reading without `denied`{more}")
    return found


def refuse_set_of_phrases(prompts: Mapping[str, Any]) -> None:
    """Raise an InputError for a set of a prompt file that has the name of the data set's own phrases."""
    for finding, each in prompts.items():
        if PHRASES in each.sets:
            what = f"set {PHRASES} of {finding}: the data set's own phrases have this name"
            raise InputError(what, "give the set another name")


@dataclass(frozen=True, kw_only=True)
class PhraseGroundingJob(Job):
    """Point at a finding with prompts, on one data set with one variant, and describe the integrity map."""

    stage = "phrase_grounding"
    place = "{variant}/{dataset}"
    over = "evaluation"
    needs = ("prompts or phrases", "outlines")

    settings: PhraseGroundingSettings
    checkpoint: Path = source("select_checkpoint", "checkpoint", stands="model.safetensors")
    images: Path = source("dicom_to_arrow", "manifest.json")
    labels: Path = source("label_images", "labels.arrow")
    phrases: Path = source("label_images", "phrases.arrow", help="may be empty")
    audit: Path = source("audit_splits", "audit.json")
    values: Path = product("values.arrow", table="GROUNDING_VALUES", summary=True)
    samples: Path = product(
        "samples.arrow", table="samples", tracked=False, summary=True, help="empty unless publish_samples"
    )
    result: Path = product(
        "result.json", record=GroundingResult, publish=True, summary=True, help="pointing game with its baselines"
    )
    device: str = device_option()

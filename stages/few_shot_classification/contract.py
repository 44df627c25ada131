"""Settings and records of few-shot classification: three published protocols, unchanged, and what they share."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ..common.contract import Job, device_option, option, product, source
from ..common.data.patient_split import Split
from ..common.encoders.settings import AugmentationSettings
from ..common.few_shot.protocols import (
    Departures,
    FewShotBlock,
    FewShotRecord,
    MeanOfSeeds,
    PartSize,
    Protocol,
    ScheduledSettings,
    departures,
)
from ..common.records import METRICS, Count, MetricName, Record
from ..common.settings import Settings, UniqueList

# How each protocol differs from its authors' code even where no setting was changed; listed beside the figures.
ALWAYS_DIFFERENT: dict[Protocol, tuple[str, ...]] = {
    "linear": (
        "images are not cropped at random, since features are cached",
        "the epoch is chosen by the AUC on validation (MGCA's code: by the loss)",
    ),
    "finetune": (
        "no flip, because it would swap left and right",
        "milder crops",
        "no stochastic depth",
        "the encoder's own last norm stays before the mean of patch tokens",
    ),
    "benchx": (
        "no flip, because it would swap left and right",
        "crops keep the shape of the image",
        "the encoder's own last norm stays before the mean of patch tokens",
        "batch size and learning rate are not searched per encoder and data set (BenchX: 32, 64, 128; .003, .01, .03)",
        "the AUC on validation chooses the weights, at times evenly over the steps (BenchX's code: every 5 epochs from "
        "the 10th, for a single finding by F1)",
        "training ends at the latest where the learning rate reaches 0 (BenchX's code: after 200 epochs)",
        "one logit for a single finding (BenchX's code: two), with a bias that starts at 0",
    ),
}


class EvaluationSettings(Settings):
    """Settings of the measurement, the same for every protocol."""

    findings: UniqueList[str] | None = Field(
        None, description="findings to classify, by one head; null: all of the labels"
    )
    seeds: int = Field(
        3, gt=0, description="number of repetitions, each with its own head initialisation and batch order"
    )
    seed: int = Field(
        0, description="seed of the bootstrap and of the first repetition; each further repetition adds 1"
    )
    draws: int = Field(1000, gt=0, description="bootstrap draws of the 95 % intervals")


class LinearProbeSettings(Settings):
    """A linear classifier on frozen features: the protocol of GLoRIA and MGCA."""

    batch_size: int = Field(48, gt=0, description="images per step")
    learning_rate: float = Field(5e-4, gt=0, description="AdamW; constant")
    weight_decay: float = Field(1e-6, ge=0, description="AdamW; as in MGCA's code")
    epochs: int = Field(50, gt=0, description="maximum passes over the training images")
    patience: int = Field(10, gt=0, description="epochs without a better validation AUC before training stops")


class TrainingSettings(Settings):
    """Settings of the protocols that train all weights."""

    batch_size: int = Field(gt=0, description="images per step")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD")
    warmup_steps: int = Field(50, ge=0, description="linear warm-up of the learning rate, then cosine decay")
    clip_norm: float = Field(1.0, gt=0, description="gradient clipping norm")
    encoder_rate: float = Field(1.0, ge=0, description="learning rate of the encoder / learning rate of the head")
    head_norm: bool = Field(False, description="a layer norm before the linear layer of the head")
    epochs: int | None = Field(
        None, gt=0, description="maximum passes over the training images; the learning rate follows `steps`"
    )
    patience: int | None = Field(
        None, gt=0, description="validations without a better AUC before training stops; null: never"
    )
    validations: int = Field(
        20, gt=0, description="number of validations, evenly spaced over the updates; the best weights are kept"
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 runs under autocast")
    augmentation: AugmentationSettings = Field(
        AugmentationSettings(),
        description="augmentation of training images; no flip, because it would swap left and right",
    )


class FinetuningSettings(TrainingSettings):
    """Training of all weights: the protocol of MRM and MaCo, with values of MRM's code."""

    batch_size: int = Field(96, gt=0, description="images per step")


class ScheduleSettings(Settings):
    """Length and learning rate of a training."""

    steps: int = Field(gt=0, description="number of updates")
    learning_rate: float = Field(gt=0, description="peak learning rate")


class BenchxSettings(TrainingSettings, ScheduleSettings):
    """Training of all weights, the head's faster: the protocol of BenchX, with values of its files for ViT-B."""

    batch_size: int = Field(64, gt=0, description="images per step")
    steps: int = Field(3_000, gt=0, description="updates until the learning rate is 0")
    learning_rate: float = Field(1e-2, gt=0, description="peak learning rate of the head")
    encoder_rate: float = Field(0.1, ge=0, description="learning rate of the encoder / learning rate of the head")
    head_norm: bool = Field(True, description="a layer norm before the linear layer of the head")
    epochs: int | None = Field(
        200, gt=0, description="maximum passes over the training images; the learning rate follows `steps`"
    )
    patience: int | None = Field(
        10, gt=0, description="validations without a better AUC before training stops; null: never"
    )
    augmentation: AugmentationSettings = Field(
        AugmentationSettings(min_area=0.08, brightness=0, contrast=0),
        description="augmentation of training images; no flip, because it would swap left and right",
    )


class JobSettings(EvaluationSettings):
    """Settings of one job, whatever its protocol."""

    fraction: int = Field(100, ge=1, le=100, description="percent of the training images; one of label_images.subsets")


class LinearJobSettings(JobSettings, LinearProbeSettings):
    """Settings of one job of protocol `linear`."""


class TrainingJobSettings(JobSettings, TrainingSettings, ScheduleSettings):
    """Settings of one job that trains all weights."""

    def updates(self, images: int) -> int:
        """Return the number of updates on a number of training images: `steps`, or fewer where `epochs` says so."""
        passes = math.inf if self.epochs is None else self.epochs * math.ceil(images / self.batch_size)
        return int(min(self.steps, passes))


class FinetuneJobSettings(FinetuningSettings, TrainingJobSettings):
    """Settings of one job of protocol `finetune`."""


class BenchxJobSettings(BenchxSettings, TrainingJobSettings):
    """Settings of one job of protocol `benchx`."""


class FinetuneSettings(FinetuningSettings, ScheduledSettings):
    """Training of all weights, with a schedule per fraction."""

    schedule: dict[int, ScheduleSettings] = Field(
        {
            1: ScheduleSettings(steps=2_000, learning_rate=3e-3),
            10: ScheduleSettings(steps=10_000, learning_rate=5e-4),
            100: ScheduleSettings(steps=50_000, learning_rate=5e-4),
        },
        description="per fraction (percent): updates and peak learning rate, as published for RSNA and SIIM",
    )


class FewShotClassificationSettings(FewShotBlock, EvaluationSettings):
    """The block of config.yaml."""

    linear: LinearProbeSettings = LinearProbeSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    benchx: BenchxSettings = BenchxSettings()

    def job(self, protocol: Protocol, fraction: int) -> JobSettings:
        """Return the settings of one job."""
        kinds: dict[Protocol, type[JobSettings]] = {
            "linear": LinearJobSettings,
            "finetune": FinetuneJobSettings,
            "benchx": BenchxJobSettings,
        }
        return kinds[protocol](**self.values_of(protocol, fraction))


def departures_of(job: JobSettings, protocol: Protocol) -> Departures:
    """Return how a job departs from its published protocol.

    A fraction that has no published schedule is compared with that of 100 %.
    """
    block = FewShotClassificationSettings()
    published = block.job(protocol, job.fraction if job.fraction in block.fractions else 100)
    return departures(job, published, free=[*EvaluationSettings.model_fields, "precision"])


class Seed(Record):
    """Figures of one repetition, mean over findings; `thresholds` are those of F1 by finding, chosen on validation."""

    seed: int
    kept_at: Count = Field(description="epoch (linear) or step (others) of the kept weights, 1-based")
    validation_auc: float
    thresholds: dict[str, float]
    auc: float
    average_precision: float
    f1: float
    accuracy: float


class FindingResult(Record):
    """Figures of one finding; `images` are those in which it is labelled."""

    images: dict[Split, PartSize]
    metrics: dict[MetricName, MeanOfSeeds]


class FewShotResult(FewShotRecord):
    """Contents of result.json; a `skipped` job has no seeds and no metrics.

    `images` counts as positive what has at least one finding, `metrics` are means over `findings`.
    """

    findings: dict[str, FindingResult] = Field(min_length=1)
    not_measured: dict[str, str] = Field(default_factory=dict, description="finding -> why nothing is said on it")
    images: dict[Split, PartSize]
    seeds: list[Seed]
    metrics: dict[MetricName, MeanOfSeeds]

    @model_validator(mode="after")
    def _is_whole(self) -> "FewShotResult":
        self.check_whole(self.images, self.seeds, self.metrics, METRICS)
        for each in self.findings.values():
            self.check_whole(each.images, self.seeds, each.metrics, METRICS)
        return self

    def tested_on(self) -> dict[str, object]:
        """Return by finding what depends neither on the encoders, nor on the protocol and the share of the labels.

        Which findings there are does: a small subset may not teach all of them.
        """
        return {name: (each.images["test"], self.resampled_by) for name, each in self.findings.items()}

    def measured_on(self) -> object:
        """Return what does not depend on the encoders, so that two results can be compared."""
        seeds = [each.seed for each in self.seeds]
        return self.tested_on(), self.not_measured, self.images, seeds, self.skipped, self.overlap, self.departures


@dataclass(frozen=True, kw_only=True)
class FewShotClassificationJob(Job):
    """Inputs and outputs of every protocol. A job has one variant, data set and fraction, and several seeds."""

    stage = "few_shot_classification"
    place = "{variant}/{dataset}/{protocol}/{fraction}"
    over = "few-shot job"
    needs = ("parts",)
    protocol: ClassVar[Protocol]
    block = FewShotClassificationSettings

    settings: JobSettings
    labels: Path = source("label_images", "labels.arrow")
    audit: Path = source("audit_splits", "audit.json")
    scores: Path = product("scores", table="SCORES", stands="*.arrow", summary=("*.arrow",), help="a table per seed")
    result: Path = product("result.json", record=FewShotResult, publish=True, summary=True)


@dataclass(frozen=True, kw_only=True)
class LinearJob(FewShotClassificationJob):
    """Fit a linear classifier on the cached features of extract_features."""

    command = protocol = "linear"

    settings: LinearJobSettings
    features: Path = source("extract_features", "features.arrow")


@dataclass(frozen=True, kw_only=True)
class TrainingJob(FewShotClassificationJob):
    """Train all weights of the image encoder; a killed job resumes from --state."""

    settings: TrainingJobSettings
    checkpoint: Path = source("select_checkpoint", "checkpoint", stands="model.safetensors")
    images: Path = source("dicom_to_arrow", "manifest.json")
    state: Path = option("folder of the states from which a killed job resumes")
    save_minutes: float = option("time between two saves of the state", default=10.0, ge=0)
    device: str = device_option()


@dataclass(frozen=True, kw_only=True)
class FinetuneJob(TrainingJob):
    """Train all weights of the image encoder as MRM and MaCo do; a killed job resumes from --state."""

    command = protocol = "finetune"

    settings: FinetuneJobSettings


@dataclass(frozen=True, kw_only=True)
class BenchxJob(TrainingJob):
    """Train all weights of the image encoder as BenchX does; a killed job resumes from --state."""

    command = protocol = "benchx"

    settings: BenchxJobSettings

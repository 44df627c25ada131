"""Settings and records of few-shot segmentation: three published protocols, and what they share."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, get_args

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
from ..common.records import Count, Record
from ..common.settings import Settings

# How each protocol differs from its authors' code even where no setting was changed; listed beside the figures.
ALWAYS_DIFFERENT: dict[Protocol, tuple[str, ...]] = {
    "linear": (
        "all negative images are used for training (MGCA's code draws as many as there are positives for SIIM)",
        "the epoch is chosen by the Dice of positives on validation (MGCA's code: by the loss)",
        "the threshold comes from validation (MGCA's code: .5)",
    ),
    "finetune": (
        "no flip, because it would swap left and right",
        "no stochastic depth",
        "no dropout before the last layer",
        "one map of logits instead of two classes, with a threshold from validation",
    ),
    "benchx": (
        "no flip, because it would swap left and right",
        "no stochastic depth in the frozen encoder, and no norm after its last block",
        "no dropout before the last layer",
        "one map of logits instead of two classes, with a threshold from validation",
        "the Dice of positives on validation chooses the weights (BenchX's code: the mean Dice of finding and rest)",
    ),
}


class EvaluationSettings(Settings):
    """Settings of the measurement, the same for every protocol."""

    finding: str | None = Field(
        None, description="finding to segment; null: the one with boxes or masks in most images"
    )
    seeds: int = Field(
        3, gt=0, description="number of repetitions, each with its own decoder initialisation and batch order"
    )
    seed: int = Field(
        0, description="seed of the bootstrap and of the first repetition; each further repetition adds 1"
    )
    draws: int = Field(1000, gt=0, description="bootstrap draws of the 95 % intervals")
    allow_upsampling: bool = Field(
        False, description="train even if the stored images are smaller than input_size; the result records both sizes"
    )
    publish_samples: bool = Field(
        False, description="write sample radiographs with true and predicted masks, for the report"
    )
    samples: int = Field(6, ge=0, description="number of positive test images in samples.arrow, if published")


class TrainingSettings(Settings):
    """Settings that every protocol has, each with its own values."""

    input_size: int = Field(gt=0, description="side of the square input, pixels; a multiple of the encoder's patch")
    batch_size: int = Field(gt=1, description="images per step")
    weight_decay: float = Field(
        ge=0, description="AdamW; not applied to biases, norms and position embeddings of a trained encoder"
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 runs under autocast")
    augmentation: AugmentationSettings = Field(
        AugmentationSettings(min_area=0.8),
        description="augmentation of training images and masks; no flip, because it would swap left and right",
    )


class LinearDecoderSettings(TrainingSettings):
    """A SETR-PUP decoder on a frozen encoder: the protocol of GLoRIA and MGCA, with values of MGCA's code."""

    input_size: int = Field(224, gt=0, description="side of the square input, pixels")
    batch_size: int = Field(16, gt=1, description="images per step")
    focal_weight: float = Field(
        10.0, ge=0, description="weight of the focal loss: loss = 10 focal - log Dice of the batch"
    )
    weight_decay: float = Field(0.05, ge=0, description="AdamW")
    learning_rate: float = Field(5e-4, gt=0, description="AdamW; constant")
    epochs: int = Field(50, gt=0, description="maximum passes over the training images")
    patience: int = Field(10, gt=0, description="epochs without a better validation Dice before training stops")
    augmentation: AugmentationSettings = Field(
        AugmentationSettings(min_area=1, rotation=10, scale=0.1, brightness=0, contrast=0),
        description="augmentation of training images and masks; no flip, because it would swap left and right",
    )
    decoder_widths: tuple[int, ...] = Field(
        (512, 256, 128, 64),
        min_length=1,
        description="channels of the decoder stages, each with twice the resolution of the previous one",
    )


class UperNetSettings(TrainingSettings):
    """Settings of the protocols that train UPerNet."""

    input_size: int = Field(512, gt=0, description="side of the square input, pixels")
    batch_size: int = Field(8, gt=1, description="images per step")
    weight_decay: float = Field(
        0.05, ge=0, description="AdamW; not applied to biases, norms and position embeddings of a trained encoder"
    )
    decoder_width: int = Field(768, gt=0, description="channels of UPerNet")
    auxiliary_weight: float = Field(
        0.4, ge=0, description="weight of the same loss on an auxiliary FCN head at the third level"
    )
    auxiliary_width: int = Field(256, gt=0, description="channels of the auxiliary head")
    validations: int = Field(
        20, gt=0, description="number of validations, evenly spaced over the steps; the best weights are kept"
    )


class FinetuningSettings(UperNetSettings):
    """Training of encoder and UPerNet: the protocol of MRM and MaCo, with values of MRM's code."""

    focal_weight: float = Field(2.0, ge=0, description="weight of the focal loss: loss = 2 focal + Dice")
    layer_decay: float = Field(
        0.65, gt=0, le=1, description="learning rate of a block / learning rate of the block above it"
    )


class ScheduleSettings(Settings):
    """Length and learning rate of a training."""

    steps: int = Field(gt=0, description="number of updates")
    learning_rate: float = Field(gt=0, description="peak learning rate; AdamW")
    warmup_steps: int = Field(ge=0, description="linear warm-up of the learning rate, then linear decay to 0")


class BenchxSettings(UperNetSettings, ScheduleSettings):
    """UPerNet on a frozen encoder, by cross-entropy: the protocol of BenchX, with values of its file for a ViT."""

    steps: int = Field(20_000, gt=0, description="number of updates")
    learning_rate: float = Field(
        1e-4, gt=0, description="peak learning rate; AdamW; as in BenchX's file for RSNA, where that for SIIM has 0.001"
    )
    warmup_steps: int = Field(1_500, ge=0, description="linear warm-up of the learning rate, then linear decay to 0")
    validations: int = Field(
        10, gt=0, description="number of validations, evenly spaced over the steps; the best weights are kept"
    )
    augmentation: AugmentationSettings = Field(
        AugmentationSettings(min_area=1, brightness=0, contrast=0),
        description="augmentation of training images and masks; no flip, because it would swap left and right",
    )


class JobSettings(EvaluationSettings):
    """Settings of one job, whatever its protocol."""

    fraction: int = Field(100, ge=1, le=100, description="percent of the training images; one of label_images.subsets")


class LinearJobSettings(JobSettings, LinearDecoderSettings):
    """Settings of one job of protocol `linear`."""


class FinetuneJobSettings(JobSettings, FinetuningSettings, ScheduleSettings):
    """Settings of one job of protocol `finetune`."""


class BenchxJobSettings(BenchxSettings, JobSettings):
    """Settings of one job of protocol `benchx`."""


AnyJobSettings = LinearJobSettings | FinetuneJobSettings | BenchxJobSettings


class FinetuneSettings(FinetuningSettings, ScheduledSettings):
    """Training of all weights, with a schedule per fraction."""

    schedule: dict[int, ScheduleSettings] = Field(
        {
            1: ScheduleSettings(steps=1_000, learning_rate=5e-6, warmup_steps=100),
            10: ScheduleSettings(steps=5_000, learning_rate=2e-5, warmup_steps=100),
            100: ScheduleSettings(steps=160_000, learning_rate=2e-5, warmup_steps=1_500),
        },
        description="per fraction (percent), from the published files for SIIM: MaCo's for 1, MRM's for 10 and 100",
    )


class FewShotSegmentationSettings(FewShotBlock, EvaluationSettings):
    """The block of config.yaml."""

    linear: LinearDecoderSettings = LinearDecoderSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    benchx: BenchxSettings = BenchxSettings()

    def job(self, protocol: Protocol, fraction: int) -> AnyJobSettings:
        """Return the settings of one job."""
        kinds: dict[Protocol, type[AnyJobSettings]] = {
            "linear": LinearJobSettings, "finetune": FinetuneJobSettings, "benchx": BenchxJobSettings
        }  # fmt: skip
        return kinds[protocol](**self.values_of(protocol, fraction))

    def input_sizes(self) -> dict[Protocol, int]:
        """Return the size in pixels that each selected protocol needs stored images to have."""
        return {protocol: getattr(self, protocol).input_size for protocol in self.protocols}


def departures_of(job: AnyJobSettings, protocol: Protocol, stored_size: int) -> Departures:
    """Return how a job departs from its published protocol.

    A fraction of which nothing was published is compared with 100 %: BenchX outlined with all images only. Stored
    images of `stored_size` pixels that have to be enlarged (`allow_upsampling`) are a departure, too.
    """
    block = FewShotSegmentationSettings()
    known = [100] if protocol == "benchx" else block.fractions
    published = block.job(protocol, job.fraction if job.fraction in known else 100)
    found = departures(job, published, free=[*EvaluationSettings.model_fields, "precision"])
    return found if stored_size >= job.input_size else found | {"stored_size": [stored_size, job.input_size]}


FigureName = Literal["dice", "dice_of_positives", "iou_of_positives", "predict_nothing", "gain_over_nothing"]
FIGURES: tuple[FigureName, ...] = get_args(FigureName)


class OutlinedPart(PartSize):
    """Numbers of images of a part, and of outlines that could not be used."""

    positives_without_outline: Count = Field(description="left out")
    outlines_too_small_to_show: Count = Field(description="counted as negatives")


class RepetitionRecord(Record):
    """Figures of one repetition."""

    seed: int
    kept_at: Count = Field(description="step of the kept weights, 1-based")
    validation_dice_of_positives: float
    threshold: float = Field(description="threshold on the probability, chosen on validation")
    dice: float
    dice_of_positives: float
    iou_of_positives: float
    predict_nothing: float
    gain_over_nothing: float


class SegmentationResult(FewShotRecord):
    """Contents of result.json; a `skipped` job has no seeds and no metrics."""

    finding: str
    input_size: Count
    stored_size: Count
    images: dict[Split, OutlinedPart]
    seeds: list[RepetitionRecord]
    metrics: dict[FigureName, MeanOfSeeds]

    @model_validator(mode="after")
    def _is_whole(self) -> "SegmentationResult":
        self.check_whole(self.images, self.seeds, self.metrics, FIGURES)
        return self

    def measured_on(self) -> object:
        """Return what does not depend on the encoders, so that two results can be compared."""
        nothing = self.metrics.get("predict_nothing")
        seeds = [each.seed for each in self.seeds]
        measured = (self.finding, self.resampled_by, self.images, self.input_size, self.skipped, seeds, nothing)
        return *measured, self.departures


@dataclass(frozen=True, kw_only=True)
class FewShotSegmentationJob(Job):
    """Inputs and outputs of every protocol. A job has one variant, data set and fraction, and several seeds."""

    stage = "few_shot_segmentation"
    place = "{variant}/{dataset}/{protocol}/{fraction}"
    over = "few-shot job"
    needs = ("outlines", "parts")
    protocol: ClassVar[Protocol]
    block = FewShotSegmentationSettings

    settings: AnyJobSettings
    checkpoint: Path = source("select_checkpoint", "checkpoint", stands="model.safetensors")
    images: Path = source("dicom_to_arrow", "manifest.json")
    labels: Path = source("label_images", "labels.arrow")
    audit: Path = source("audit_splits", "audit.json")
    state: Path = option("folder of the states from which a killed job resumes")
    save_minutes: float = option("time between two saves of the state", default=10.0, ge=0)
    overlaps: Path = product(
        "overlaps", table="OVERLAPS", stands="*.arrow", summary=("*.arrow",), help="a table per seed"
    )
    samples: Path = product("samples.arrow", table="outlines", summary=True)
    result: Path = product("result.json", record=SegmentationResult, publish=True, summary=True)
    device: str = device_option()


@dataclass(frozen=True, kw_only=True)
class LinearJob(FewShotSegmentationJob):
    """Train a SETR-PUP decoder on the frozen encoder."""

    command = protocol = "linear"

    settings: LinearJobSettings


@dataclass(frozen=True, kw_only=True)
class FinetuneJob(FewShotSegmentationJob):
    """Train UPerNet and all weights of the encoder."""

    command = protocol = "finetune"

    settings: FinetuneJobSettings


@dataclass(frozen=True, kw_only=True)
class BenchxJob(FewShotSegmentationJob):
    """Train UPerNet on the frozen encoder, as BenchX does."""

    command = protocol = "benchx"

    settings: BenchxJobSettings

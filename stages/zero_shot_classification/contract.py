"""What zero_shot_classification reads and writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ..common.contract import Job, device_option, product, source
from ..common.encoders.settings import READINGS, EncodingSettings
from ..common.records import Count, Estimate, MetricName, Overlap, Record, check_metrics, has_several

ScoreKind = Literal["global", "local", "global_and_local"]


class ZeroShotSettings(EncodingSettings):
    """Settings of zero-shot classification."""

    prompts: str | None = Field(
        None,
        min_length=1,
        description="prompt file, absolute or relative to the checkout; its sets compete on validation. Null: none, "
        "and the data set has no zero-shot figures",
    )
    score: ScoreKind = Field(
        "global",
        description="global: cosine of the whole image with the prompts, from extract_features; local: mean of the "
        "largest values of its heatmaps with the affirming prompts, for which images are embedded again; "
        "global_and_local: the sum of both, each standardised by its mean and deviation over the training images",
    )
    reading: Literal["centred", "centred_on_dataset", "stitched", "raw"] = Field(
        "centred",
        description="how the local score reads heatmaps (docs/method.md, phrase grounding): centred on pre-training's "
        "radiographs, or on training images of the data set; stitched: these on a finer grid, with four passes instead "
        "of one; raw: cosines",
    )
    patch_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="share of the patches, those with the largest values on the grid that is read, that the local "
        "score averages; our choice: about 10 of 196 patches. Of one patch, the least, it is the maximum",
    )
    calibration: Literal["none", "temperature", "platt"] = Field(
        "none",
        description="whether scores become probabilities, fitted for each finding on validation: temperature (a "
        "factor, Guo et al., ICML 2017), or platt (a factor and a bias, Platt 1999), which also fits how frequent a "
        "finding is. No other figure changes",
    )
    batch_size: int = Field(64, gt=0, description="images whose patches are embedded at once for the local score")
    draws: int = Field(1000, gt=0, description="bootstrap draws of the 95 % intervals")
    seed: int = Field(0, description="seed of the bootstrap, and of the training images for means")

    @model_validator(mode="after")
    def _no_reading_is_given_in_vain(self) -> "ZeroShotSettings":
        if self.score == "global" and self.reading != "centred":
            raise ValueError(
                f"reading: {self.reading} has no effect on score: global; set score: local or global_and_local"
            )
        return self

    @property
    def reads_features(self) -> bool:
        """Return whether the score compares whole images, as extract_features embedded them."""
        return self.score != "local"

    @property
    def reads_images(self) -> bool:
        """Return whether the score compares patches, for which images are embedded again."""
        return self.score != "global"

    @property
    def needs_training_images(self) -> str | None:
        """Return what is done with training images of the data set; None: nothing. The score `global` needs none."""
        if self.score == "global_and_local":
            return "standardises scores"
        return "centres heatmaps" if self.reads_images and READINGS[self.reading].mean == "dataset" else None


class ReliabilityBin(Record):
    """Images whose probability is in one of the bins of equal width; no means where there are none."""

    images: Count
    probability: float | None = Field(description="mean")
    positives: float | None = Field(description="share")


class Reliability(Record):
    """State how well probabilities agree with the shares of positives, on test."""

    calibration_error: Estimate = Field(description="expected calibration error over the bins")
    brier: Estimate = Field(description="mean squared difference of probability and label")
    bins: list[ReliabilityBin] = Field(min_length=1)


class Calibration(Record):
    """Probabilities before and after the fit: sigmoid(score / temperature), and sigmoid(slope * score + bias)."""

    method: Literal["temperature", "platt"]
    temperature: float = Field(description="before the fit: of the chosen checkpoint; 1 for score global_and_local")
    slope: float = Field(description="1 / the fitted temperature; 0 or less: on validation the score says nothing")
    bias: float
    before: Reliability
    after: Reliability


class FindingResult(Record):
    """Figures of one finding on test, of the prompt set that validation chose."""

    prompt_set: str
    validation_auc: dict[str, float] = Field(description="per prompt set")
    threshold: float = Field(description="threshold of the largest F1 on validation")
    metrics: dict[MetricName, Estimate] = Field(description="on test")
    test_auc: dict[str, Estimate] = Field(
        description="per prompt set, in the order of the file; not used for selection"
    )
    test_images: Count
    test_positives: Count
    calibration: Calibration | None = Field(None, description="null: not asked for")

    @model_validator(mode="after")
    def _is_whole(self) -> "FindingResult":
        check_metrics(self.metrics)
        if self.prompt_set not in self.validation_auc:
            raise ValueError(f"validation_auc lacks the chosen set {self.prompt_set}")
        if self.test_auc.get(self.prompt_set) != self.metrics["auc"]:
            raise ValueError(f"test_auc of the chosen set {self.prompt_set} is not the AUC of metrics")
        return self


class ZeroShotResult(Record):
    """Contents of result.json: figures on test of every finding, and their mean."""

    score: ScoreKind
    findings: dict[str, FindingResult] = Field(min_length=1)
    not_measured: dict[str, str] = Field(default_factory=dict, description="finding -> why nothing is said on it")
    metrics: dict[MetricName, Estimate] = Field(description="mean over findings, on test")
    resampled_by: Literal["patient", "image"]
    test_images: Count
    overlap: Overlap

    @model_validator(mode="after")
    def _is_whole(self) -> "ZeroShotResult":
        check_metrics(self.metrics)
        return self

    @property
    def only(self) -> FindingResult | None:
        """Return the result of the data set's only finding, or None where it has several."""
        return None if has_several(self.findings, self.not_measured) else next(iter(self.findings.values()))

    def measured_on(self) -> object:
        """Return what does not depend on the encoders, so that two results can be compared."""
        sizes = {name: (list(each.test_auc), each.test_images, each.test_positives, each.calibration is None)
                 for name, each in self.findings.items()}  # fmt: skip
        return self.score, sizes, self.not_measured, self.resampled_by, self.test_images


@dataclass(frozen=True, kw_only=True)
class ZeroShotJob(Job):
    """Classify the images of one data set with one variant by prompts alone.

    The prompt set is chosen on validation; test is measured once. The global score reads features, the local one
    images, and global_and_local both.
    """

    stage = "zero_shot_classification"
    place = "{variant}/{dataset}"
    over = "evaluation"
    needs = ("prompts", "parts")

    settings: ZeroShotSettings
    checkpoint: Path = source("select_checkpoint", "checkpoint", stands="model.safetensors")
    features: Path | None = source(
        "extract_features", "features.arrow", optional=True, tracked=False, help="for the global score"
    )
    images: Path | None = source(
        "dicom_to_arrow", "manifest.json", optional=True, tracked=False, help="for the local score"
    )
    selection: Path | None = source(
        "select_checkpoint", "selection.json", optional=True, help="its temperature; needed for the calibration"
    )
    labels: Path = source("label_images", "labels.arrow")
    audit: Path = source("audit_splits", "audit.json")
    scores: Path = product("scores.arrow", table="SCORES", summary=True, help="every label, with the chosen prompt set")
    result: Path = product(
        "result.json", record=ZeroShotResult, publish=True, summary=True, help="test metrics with 95 % intervals"
    )
    device: str = device_option()

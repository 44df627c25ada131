"""What zero_shot_classification reads and writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..common.contract import Job, device_option, product, source
from ..common.encoders.settings import READINGS, EncodingSettings
from ..common.radiographs.attributes import OLDEST, Attribute
from ..common.records import (
    FEWEST,
    POINTS,
    RATES,
    Count,
    Estimate,
    MetricName,
    Overlap,
    PointName,
    RateName,
    Record,
    check_metrics,
    has_several,
)

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
    decision_curve: bool = Field(
        False,
        description="whether the net benefit of the calibrated probabilities is measured over the threshold "
        "probability (Vickers and Elkin, 2006); needs `calibration`",
    )
    age_bands: list[Annotated[int, Field(gt=0, le=OLDEST)]] = Field(
        [18, 40, 60, 80],
        min_length=1,
        description="ages in years, ascending, at which the next subgroup begins; 90 and above are one age",
    )
    publish_samples: bool = Field(
        False,
        description="write radiographs, correctly and incorrectly classified (Youden index), for the report",
    )
    samples: int = Field(
        4, ge=0, description="number of samples of each kind (true and false, positive and negative), drawn by seed"
    )
    batch_size: int = Field(64, gt=0, description="images whose patches are embedded at once for the local score")
    draws: int = Field(1000, gt=0, description="bootstrap draws of the 95 % intervals")
    seed: int = Field(0, description="seed of the bootstrap, of the samples and of the training images for means")

    @model_validator(mode="after")
    def _no_reading_is_given_in_vain(self) -> "ZeroShotSettings":
        if self.score == "global" and self.reading != "centred":
            raise ValueError(
                f"reading: {self.reading} has no effect on score: global; set score: local or global_and_local"
            )
        return self

    @model_validator(mode="after")
    def _bands_and_probabilities(self) -> "ZeroShotSettings":
        if self.age_bands != sorted(set(self.age_bands)):
            raise ValueError("age_bands must be ascending")
        if self.decision_curve and self.calibration == "none":
            raise ValueError(
                "decision_curve needs probabilities, and scores are none: set calibration: platt or temperature"
            )
        return self

    @property
    def shows_images(self) -> bool:
        """Return whether sample radiographs are written."""
        return self.publish_samples and self.samples > 0

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

    calibration_error: float = Field(
        description="expected calibration error over the bins; no interval: each draw of a bootstrap adds to it"
    )
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


class NetBenefit(Record):
    """Net benefit of treating by calibrated probabilities, and of treating all; that of treating none is 0."""

    thresholds: list[float] = Field(min_length=1, description="threshold probabilities, at which one would treat")
    model: list[Estimate]
    treat_all: list[Estimate]
    gain: list[Estimate] = Field(description="model less the larger of treat all and treat none, of the same draws")


class OperatingPoint(Record):
    """A threshold that validation chose, and what follows from it on test."""

    threshold: float
    validation_sensitivity: float
    validation_specificity: float
    true_positives: Count
    false_positives: Count
    false_negatives: Count
    true_negatives: Count
    rates: dict[RateName, Estimate | None] = Field(description="null: no image is in the denominator")

    @model_validator(mode="after")
    def _is_whole(self) -> "OperatingPoint":
        if missing := set(RATES) - set(self.rates):
            raise ValueError(f"rates lacks {', '.join(sorted(missing))}")
        return self


class Subgroup(Record):
    """Figures of one finding on the test images of one sex, age band or view."""

    attribute: Attribute
    value: str = Field(description="e.g. female, 40 to 59, PA, or `not stated`")
    positives: int | None = Field(ge=FEWEST, description="images; null: fewer than 5, and how few is not published")
    negatives: int | None = Field(ge=FEWEST, description="as positives")
    auc: Estimate | None = None
    sensitivity: Estimate | None = Field(None, description="at the Youden threshold, as the next")
    specificity: Estimate | None = None
    not_measured: str = Field("", description="why there are no figures")


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
    net_benefit: NetBenefit | None = Field(None, description="null: not asked for")
    operating_points: dict[PointName, OperatingPoint]
    subgroups: list[Subgroup] = Field(default_factory=list, description="of the attributes that test images state")

    @model_validator(mode="after")
    def _is_whole(self) -> "FindingResult":
        check_metrics(self.metrics)
        if self.prompt_set not in self.validation_auc:
            raise ValueError(f"validation_auc lacks the chosen set {self.prompt_set}")
        if self.test_auc.get(self.prompt_set) != self.metrics["auc"]:
            raise ValueError(f"test_auc of the chosen set {self.prompt_set} is not the AUC of metrics")
        if set(self.operating_points) != set(POINTS):
            raise ValueError(f"operating_points are not {', '.join(POINTS)}")
        return self


class ZeroShotResult(Record):
    """Contents of result.json: figures on test of every finding, and their mean."""

    score: ScoreKind
    findings: dict[str, FindingResult] = Field(min_length=1)
    not_measured: dict[str, str] = Field(default_factory=dict, description="finding -> why nothing is said on it")
    metrics: dict[MetricName, Estimate] = Field(description="mean over findings, on test")
    resampled_by: Literal["patient", "image"]
    test_images: Count
    stated: dict[Attribute, Count] = Field(description="test images that state each attribute")
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
        "dicom_to_arrow", "manifest.json", optional=True, tracked=False, help="for the local score and for samples"
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
    samples: Path = product(
        "samples.arrow", table="judged_images", tracked=False, summary=True, help="empty unless publish_samples"
    )
    device: str = device_option()

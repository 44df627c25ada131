"""What select_checkpoint reads and writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ..common.contract import Job, device_option, product, source
from ..common.encoders.settings import EncodingSettings
from ..common.records import Count, Estimate, Record

Criterion = Literal[
    "contrastive_loss", "mean_reciprocal_rank", "recall_at_1", "recall_at_5", "recall_at_10", "zero_shot_auc"
]


class SelectCheckpointSettings(EncodingSettings):
    """Settings of the choice."""

    criterion: Criterion = Field(
        "contrastive_loss",
        description="criterion on validation data; a loss uses every similarity, a rank only their order "
        "(docs/decisions/0011)",
    )
    margin: float = Field(
        0.0,
        ge=0,
        description="choose the earliest candidate that is at most this much worse than the best; 0: the best",
    )
    maskings: int = Field(4, gt=0, description="number of maskings over which the loss is averaged")
    zero_shot_on: str | None = Field(
        None,
        description="data set of evaluate_on on whose validation labels candidates are scored, too (zero-shot AUC)",
    )
    batch_size: int = Field(128, gt=0, description="images or reports embedded at once")
    mean_over: int = Field(
        1000,
        gt=0,
        description="maximum training radiographs over which the mean of patches is taken that heatmaps are read "
        "without (`mean: pretraining` of phrase_grounding.readings)",
    )
    max_pairs: int = Field(2048, gt=1, description="maximum validation pairs to score, in the order of study ids")
    draws: int = Field(1000, gt=0, description="bootstrap draws over patients, for the interval of the difference")
    seed: int = Field(0, description="seed of maskings and draws")
    publish_samples: bool = Field(
        False,
        description="show phi over the mean validation radiograph in MLflow and report; false: phi alone",
    )

    @model_validator(mode="after")
    def _labels_are_named(self) -> "SelectCheckpointSettings":
        if self.criterion == "zero_shot_auc" and self.zero_shot_on is None:
            raise ValueError("criterion zero_shot_auc needs zero_shot_on: name the data set with the labels")
        return self


START_TEMPERATURE = 0.07  # the value at which pre-training starts, for a selection by labels alone


class Selection(Record):
    """Contents of selection.json: every candidate's scores, the rule, the choice and its reason.

    `candidates` maps a step to its score.
    """

    criterion: str
    split: str
    studies: Count
    candidates: dict[int, float] = Field(min_length=1)
    chosen_step: int
    zero_shot_on: str | None = Field(description="data set on whose validation labels candidates were scored, too")
    labelled_images: Count
    rule: str
    reason: str
    scores: dict[int, dict[str, float]] = Field(description="per step: every criterion")
    temperatures: dict[int, float | None] = Field(description="per step: tau of the lowest contrastive loss")
    best_step: int
    runner_up_step: int | None
    lead_of_best: Estimate | None = Field(description="lead over the runner-up; positive: better")
    resampled_by: Literal["patient"]

    @model_validator(mode="after")
    def _chose_a_candidate(self) -> "Selection":
        if self.chosen_step not in self.candidates:
            raise ValueError(f"chosen_step {self.chosen_step} is not a candidate")
        if self.by_labels and not (self.zero_shot_on and self.labelled_images):
            raise ValueError("chosen by zero-shot AUC, but zero_shot_on or labelled_images names no labels")
        return self

    @property
    def by_labels(self) -> bool:
        """Return whether labels of images decided; otherwise pairs of image and report did."""
        return self.criterion.startswith("zero-shot AUC")

    @property
    def temperature(self) -> float:
        """Return the temperature with which cosines become probabilities."""
        return self.temperatures.get(self.chosen_step) or START_TEMPERATURE


class MeanOfRadiographs(Record):
    """The mean radiograph beside an integrity map."""

    path: str  # beside integrity_map.json
    images: Count


class IntegrityFile(Record):
    """Contents of integrity_map.json: phi, centred, as rows of the patch grid; no mean that may not be published."""

    step: Count
    grid: Count
    input_size: Count
    smallest: float
    largest: float
    standard_deviation: float
    phi: list[list[float]] = Field(min_length=1)
    mean_radiograph: MeanOfRadiographs | None

    @model_validator(mode="after")
    def _is_square(self) -> "IntegrityFile":
        if {len(self.phi), *map(len, self.phi)} != {self.grid}:
            raise ValueError(f"phi is not a square of {self.grid} by {self.grid}")
        return self


@dataclass(frozen=True, kw_only=True)
class SelectCheckpointJob(Job):
    """Choose the best candidate of one variant on validation data alone, and export it.

    timm and transformers can load the checkpoint folder, too; the MLflow model reads radiographs as files.
    """

    stage = "select_checkpoint"
    place = "{variant}"
    over = "variant"

    settings: SelectCheckpointSettings
    candidates: Path = source("pretrain", "candidates.json")
    pairs: Path = source("pair_images_reports", "pairs.arrow")
    sentences: Path = source("split_reports", "sentences.arrow")
    tokenizer: Path = source("split_reports", "tokenizer", tracked=False)
    images: Path = source("dicom_to_arrow", "manifest.json")
    zero_shot_images: Path | None = source(optional=True, help="of the data set zero_shot_on: manifest.json")
    zero_shot_labels: Path | None = source(optional=True, help="labels.arrow of label_images; validation rows are used")
    zero_shot_prompts: Path | None = source(optional=True, help="prompt file")
    checkpoint: Path = product(
        "checkpoint", stands="model.safetensors", summary=("config.json", "integrity_map.json", "mean_radiograph.png")
    )
    model: Path = product("mlflow_model", stands="MLmodel")
    selection: Path = product(
        "selection.json",
        record=Selection,
        publish=True,
        summary=True,
        help="scores of all candidates, the rule and the choice",
    )
    device: str = device_option()

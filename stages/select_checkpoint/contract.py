"""Settings of checkpoint selection."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ..common.contract import Job, device_option, product, source
from ..common.settings import Settings

Criterion = Literal[
    "contrastive_loss", "mean_reciprocal_rank", "recall_at_1", "recall_at_5", "recall_at_10", "zero_shot_auc"
]


class SelectCheckpointSettings(Settings):
    criterion: Criterion = Field(
        "contrastive_loss",
        description="what decides, on validation alone; a loss uses every similarity, a rank only their order "
        "(docs/decisions/0011)",
    )
    margin: float = Field(
        0.0, ge=0, description="the earliest candidate that is at most this much worse than the best is chosen; 0: it"
    )
    maskings: int = Field(4, gt=0, description="draws of hidden patches over which the loss is averaged")
    zero_shot_on: str | None = Field(
        None, description="a data set of evaluate_on whose validation labels score candidates by prompts, too"
    )
    batch_size: int = Field(128, gt=0, description="images or reports embedded at once")
    max_pairs: int = Field(2048, gt=1, description="validation pairs that are scored, the first by study id")
    draws: int = Field(1000, gt=0, description="bootstrap draws of patients, for the interval of the difference")
    seed: int = Field(0, description="of maskings and draws")
    publish_samples: bool = Field(
        False,
        description="lay phi over the mean of the validation radiographs, for MLflow and report; else phi alone",
    )

    @model_validator(mode="after")
    def _labels_are_named(self) -> "SelectCheckpointSettings":
        if self.criterion == "zero_shot_auc" and self.zero_shot_on is None:
            raise ValueError("criterion zero_shot_auc needs zero_shot_on: name the data set with the labels")
        return self


@dataclass(frozen=True, kw_only=True)
class SelectCheckpointJob(Job):
    """Choose the best candidate of one variant on validation data alone, and export it.

    The checkpoint folder is for timm and transformers, too; the MLflow model reads radiographs as files.
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
        "selection.json", publish=True, summary=True, help="every candidate's scores, the rule, the choice and why"
    )
    device: str = device_option()

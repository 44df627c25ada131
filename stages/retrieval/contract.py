"""What retrieval reads and writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ..common.contract import Job, device_option, product, source
from ..common.encoders.settings import EncodingSettings
from ..common.records import AgainstChance, Count, Record
from ..common.settings import Name, UniqueList


class RetrievalSettings(EncodingSettings):
    """Settings of retrieval."""

    recall_at: UniqueList[Annotated[int, Field(ge=1)]] = Field(
        [1, 5, 10], min_length=1, description="values of k for recall@k, each at least 1"
    )
    precision_at: UniqueList[Annotated[int, Field(ge=1)]] = Field(
        [5, 10, 100],
        min_length=1,
        description="values of k for precision@k by class, measured where `pretrain_on` is also in `evaluate_on` with "
        "two or more findings (GLoRIA: 5, 10, 100); one that exceeds the number of candidates is left out",
    )
    classes: UniqueList[Name] | None = Field(
        None, min_length=2, description="findings that are the classes; null: all of the data set"
    )
    exclusive_among: Literal["classes", "findings"] = Field(
        "classes", description="as in multi_class_classification: of what a pair of a class may have no other"
    )
    batch_size: int = Field(
        128, gt=0, description="images or reports embedded at once; 8 times as many queries are ranked at once"
    )
    draws: int = Field(1000, gt=0, description="bootstrap draws of the 95 % intervals, by patient")
    seed: int = Field(0, description="seed of the bootstrap")


class Direction(Record):
    """Queries of one kind among candidates of the other; `recall` maps k to recall@k."""

    queries: Count
    candidates: Count
    recall: dict[int, AgainstChance] = Field(min_length=1)
    median_rank: AgainstChance


class RetrievalFigures(Record):
    """Figures of both directions, with the counts that they rest on."""

    images: Count
    reports: Count
    patients: Count
    distinct_texts: Count
    sentences_left_out: Count  # beyond the encoder's token budget
    resampled_by: Literal["patient"]
    image_to_report: Direction
    report_to_image: Direction

    @property
    def directions(self) -> dict[str, Direction]:
        """Return the figures by direction."""
        return {"image_to_report": self.image_to_report, "report_to_image": self.report_to_image}


class ClassDirection(Record):
    """Precision@k of queries of one kind, by k: the mean over classes, and of the queries of each class."""

    mean: dict[int, AgainstChance]
    classes: dict[str, dict[int, AgainstChance]]


class ClassSize(Record):
    """Counts of one class."""

    images: Count
    reports: Count


class RetrievalByClass(Record):
    """Retrieval among the pairs of exactly one class: a hit is any report (or image) of the query's class."""

    classes: dict[str, ClassSize] = Field(min_length=2)
    studies_left_out: Count = Field(description="studies of which not every image has the same class and no other")
    image_to_report: ClassDirection
    report_to_image: ClassDirection

    @property
    def directions(self) -> dict[str, ClassDirection]:
        """Return the figures by direction."""
        return {"image_to_report": self.image_to_report, "report_to_image": self.report_to_image}


class RetrievalResult(Record):
    """Contents of result.json: figures, or in `skipped` why there are none, and the same by class."""

    split: str
    skipped: str | None
    figures: RetrievalFigures | None
    by_class: RetrievalByClass | None = None
    by_class_skipped: str | None = Field(None, description="why there is nothing by class, though there are labels")

    def measured_on(self) -> object:
        """Return what does not depend on the encoders, so that two results can be compared."""
        if self.figures is None:
            return self.skipped
        directions = self.figures.directions
        chances = [{k: figure.chance for k, figure in each.recall.items()} for each in directions.values()]
        by_class = self.by_class and (self.by_class.classes, list(self.by_class.image_to_report.mean))
        return chances, self.figures.model_dump(exclude=set(directions)), by_class


@dataclass(frozen=True, kw_only=True)
class RetrievalJob(Job):
    """Find the report of an image and the image of a report, among all test pairs of pre-training.

    A hit is any image or report of the same study, or of a study whose report has the same text. A test part without
    pairs is no error: the result says so. With labels, precision is also measured by class (Huang et al., GLoRIA, ICCV
    2021, on CheXpert 5x200).
    """

    stage = "retrieval"
    place = "{variant}"
    over = "variant with text"

    settings: RetrievalSettings
    checkpoint: Path = source("select_checkpoint", "checkpoint", stands="model.safetensors")
    pairs: Path = source("pair_images_reports", "pairs.arrow")
    sentences: Path = source("split_reports", "sentences.arrow")
    images: Path = source("dicom_to_arrow", "manifest.json")
    labels: Path | None = source(
        "label_images", "labels.arrow", optional=True, help="of `pretrain_on`, for figures by class"
    )
    class_precision: Path = product(
        "class_precision.arrow", table="CLASS_PRECISION", summary=True, help="precision@k of each query; may be empty"
    )
    ranks: Path = product(
        "ranks.arrow", table="RANKS", summary=True, help="rank of the first hit of each query, for paired tests"
    )
    result: Path = product("result.json", record=RetrievalResult, publish=True, summary=True)
    device: str = device_option()

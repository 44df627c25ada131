"""What multi_class_classification reads and writes.

The evaluation is that of CheXpert 5x200 (Huang et al., GLoRIA, ICCV 2021; Wang et al., MedCLIP, EMNLP 2022): images
have exactly one of several findings, and the nearest prompts tell which.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..common.contract import Job, device_option, product, source
from ..common.errors import InputError
from ..common.records import AgainstChance, Count, Estimate, Overlap, Record
from ..common.settings import Name, Settings, UniqueList, did_you_mean


class MultiClassSettings(Settings):
    """Settings of multi-class classification."""

    prompts: str | None = Field(
        None,
        min_length=1,
        description="prompt file, absolute or relative to the checkout; the first set of each finding is used, and no "
        "label chooses it. Null: none, and the data set has no multi-class figures",
    )
    classes: UniqueList[Name] | None = Field(
        None, min_length=2, description="findings of the prompt file that are the classes; null: all of them"
    )
    exclusive_among: Literal["classes", "findings"] = Field(
        "classes",
        description="an image qualifies if one class is present and all others of these are known to be absent: the "
        "classes, or all findings of the data set (GLoRIA's 5x200: the 13 of CheXpert)",
    )
    per_class: int | None = Field(
        None, ge=1, description="images drawn for each class (5x200: 200); null: all that qualify"
    )
    part: Literal["test", "all"] = Field(
        "test",
        description="the images to draw from: the test part, or all labelled images, which is fair only where "
        "pre-training read none of the data set's patients",
    )
    score: Literal["positive", "difference"] = Field(
        "positive",
        description="score of a class: cosine with the prompts that affirm it, as published, or that minus the cosine "
        "with those that deny it",
    )
    precision_at: UniqueList[Annotated[int, Field(ge=1)]] = Field(
        [5, 10, 100],
        min_length=1,
        description="values of k for precision@k of the images that a class retrieves (ConVIRT, GLoRIA: 5, 10, 100); "
        "one that exceeds the number of images is left out",
    )
    draws: int = Field(1000, gt=0, description="bootstrap draws of the 95 % intervals")
    seed: int = Field(0, description="seed of the drawn images and of the bootstrap")

    def classes_among(self, known: Collection[str]) -> list[str]:
        """Return the classes, given the findings that have prompts. Raises InputError where there are no two."""
        for name in self.classes or ():
            if name not in known:
                raise InputError(
                    f"it has no prompts of the class {name!r}",
                    f"add them or correct the name{did_you_mean(name, known)}",
                )
        if len(known) < 2:
            raise InputError("it has prompts of one finding, but there must be two classes", "add those of others")
        return self.classes or list(known)


class ClassResult(Record):
    """Figures of one class."""

    prompt_set: str
    qualifying: Count = Field(description="images that could be drawn")
    images: Count
    recall: Estimate
    precision: Estimate | None = Field(description="null: the class was never predicted")
    f1: Estimate
    precision_at: dict[int, AgainstChance] = Field(
        description="by k: share of this class among the k images nearest to its prompts"
    )


class MultiClassResult(Record):
    """Contents of result.json: figures of all classes together and of each."""

    score: Literal["positive", "difference"]
    part: Literal["test", "all"]
    exclusive_among: Literal["classes", "findings"]
    classes: dict[str, ClassResult] = Field(min_length=2)
    not_qualifying: dict[str, Count] = Field(description="images of the part, by the reason why they are of no class")
    accuracy: AgainstChance
    macro_f1: Estimate
    precision_at: dict[int, AgainstChance] = Field(description="by k: mean over classes")
    confusion: list[list[Count]] = Field(description="images by true class (rows) and predicted class")
    resampled_by: Literal["patient", "image"]
    overlap: Overlap = Field(description="of the test part")

    @model_validator(mode="after")
    def _is_whole(self) -> "MultiClassResult":
        if [sum(row) for row in self.confusion] != [each.images for each in self.classes.values()]:
            raise ValueError("the rows of confusion do not sum to the images of the classes")
        return self

    @property
    def images(self) -> int:
        """Return the number of images that were classified."""
        return sum(each.images for each in self.classes.values())

    @property
    def figures(self) -> dict[str, Estimate]:
        """Return the figures of all classes together by name."""
        means: dict[str, Estimate] = {f"precision_at_{k}": each for k, each in self.precision_at.items()}
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1} | means

    def measured_on(self) -> object:
        """Return what does not depend on the encoders, so that two results can be compared."""
        sizes = {name: (each.prompt_set, each.qualifying, each.images) for name, each in self.classes.items()}
        chosen = (self.score, self.part, self.exclusive_among, list(self.precision_at))
        return sizes, chosen, self.not_qualifying, self.resampled_by


@dataclass(frozen=True, kw_only=True)
class MultiClassJob(Job):
    """Classify images with exactly one of several findings by the nearest prompts, and retrieve images by class.

    Nothing is chosen with labels: the first prompt set of each finding is used.
    """

    stage = "multi_class_classification"
    place = "{variant}/{dataset}"
    over = "evaluation"
    needs = ("prompts", "several findings")

    settings: MultiClassSettings
    checkpoint: Path = source("select_checkpoint", "checkpoint", stands="model.safetensors")
    features: Path = source("extract_features", "features.arrow")
    labels: Path = source("label_images", "labels.arrow")
    audit: Path = source("audit_splits", "audit.json")
    scores: Path = product("scores.arrow", table="CLASS_SCORES", summary=True, help="every classified image")
    result: Path = product(
        "result.json", record=MultiClassResult, publish=True, summary=True, help="figures with 95 % intervals"
    )
    device: str = device_option()

"""What label_images reads and writes: where the labels of a data set are and how they are split."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ..common.contract import Job, option, product, source
from ..common.data.distributions import CHALLENGE_TABLES, name_in
from ..common.data.own_tables import ImageColumns, OwnTables
from ..common.data.patient_split import PatientSplit
from ..common.records import Count, Record
from ..common.settings import Settings


class SplitShares(Settings):
    """Shares of patients (of images where patients are unknown) in each part."""

    train: float = Field(0.70, ge=0, le=1, description="share for training (GLoRIA, MGCA: 70/15/15)")
    validation: float = Field(0.15, ge=0, le=1, description="share for thresholds, prompts and early stopping")
    test: float = Field(0.15, ge=0, le=1, description="share for the reported scores")

    @model_validator(mode="after")
    def _sums_to_one(self) -> "SplitShares":
        if abs(self.train + self.validation + self.test - 1) > 1e-9:
            raise ValueError(f"train + validation + test is {self.train + self.validation + self.test:g}: make it 1")
        return self


class SplitLists(Settings):
    """A split of your own: one CSV per part, or one CSV with a column that names the part of each row.

    Rows that repeat an image are one image; one that is in two parts stays in both, and audit_splits decides.
    """

    train: str | None = Field(None, description="CSV of training images, relative to the root or absolute")
    validation: str | None = Field(None, description="CSV of validation images")
    test: str | None = Field(None, description="CSV of test images")
    table: str | None = Field(None, description="one CSV of all images instead of three")
    image_id: str = Field("image_id", description="column of the image ids, as distributed (RSNA: patientId)")
    split: str = Field("split", description="column of `table` that names the part: train, validation (or val), test")

    @model_validator(mode="after")
    def _one_form(self) -> "SplitLists":
        each = [self.train, self.validation, self.test]
        if (self.table is None) == (None in each) or (self.table is not None and each != [None] * 3):
            raise ValueError("name either `table`, or all of `train`, `validation` and `test`")
        return self

    def files(self) -> list[str]:
        """Return the names of the CSV files."""
        return [name for name in (self.table, self.train, self.validation, self.test) if name is not None]


class LabelColumns(ImageColumns):
    """Names of the columns of a `folder` data set's table; those of the image as in index_inputs."""

    target: str = Field(description="the finding; a blank cell is an image without label, unless the values name it")
    boxes: str | None = Field(None, description="boxes `x y width height` in pixels of the original, separated by ';'")
    mask: str | None = Field(
        None,
        description="path of a PNG of the image's size, below the root, without transparency; nonzero samples are the "
        "finding",
    )
    lung_mask: str | None = Field(None, description="path of such a PNG; nonzero samples are lung")


class LabelImagesSettings(OwnTables):
    """Settings of one data set's block of `label_images`."""

    layout: Literal["rsna", "siim", "folder"] = Field(description="how the data set is laid out on disk")
    finding: str = Field(description="name of the finding, e.g. lung_opacity or pneumothorax")
    seed: int = Field(0, description="seed of the split and of the subsets")
    split: SplitShares = Field(default_factory=SplitShares, description="shares of train, validation and test")
    split_lists: SplitLists | None = Field(None, description="your own split instead of `split`; it is audited")
    patient_split: PatientSplit | None = Field(
        None,
        exclude_if=lambda value: value is None,  # a data set without it keeps the digest of its settings
        description="the split of pre-training instead of `split`; the workflow sets it, from the top level's "
        "`patient_split`, for the data set `pretrain_on`, whose shares it gives",
    )
    subsets: list[int] = Field([1, 10, 100], description="nested shares of the training part, percent, ascending")
    patients: str | None = Field(None, description="CSV of image_id and patient_id; null: patients from index_inputs")
    lung_masks: str | None = Field(None, description="CSV of ImageId and EncodedPixels (SIIM run lengths): both lungs")
    columns: LabelColumns | None = Field(None, description="folder: names of the table's columns")
    positive_values: list[str] = Field(["1"], description="folder: cells of `target` that mean present")
    negative_values: list[str] = Field(
        ["0"], description='folder: cells of `target` that mean absent; "" is a blank cell'
    )
    unlabelled_values: list[str] = Field(
        [],
        description="folder: cells of `target` to treat as unlabelled, e.g. -1 for uncertain; the card counts them",
    )
    license: str | None = Field(None, description="terms of the data set, for the card; null: those of the layout")

    @model_validator(mode="after")
    def _fits_together(self) -> "LabelImagesSettings":
        lists = {"positive_values": self.positive_values, "negative_values": self.negative_values,
                 "unlabelled_values": self.unlabelled_values}  # fmt: skip
        for (name, values), (other, others) in combinations(lists.items(), 2):
            if both := {value.strip() for value in values} & {value.strip() for value in others}:
                raise ValueError(f"{min(both)!r} stands in {name} and in {other}: remove it from one of them")
        ascending = all(low < high for low, high in zip(self.subsets, self.subsets[1:], strict=False))
        if not self.subsets or not ascending or self.subsets[0] < 1 or self.subsets[-1] != 100:
            raise ValueError("subsets must be ascending percentages from 1 on that end with 100")
        if self.patient_split is not None and self.split_lists is not None:
            raise ValueError("`patient_split` and `split_lists` are both given: keep one")
        return self

    @property
    def outlined(self) -> bool:
        """Return whether the layout or a declared column gives boxes or masks."""
        if self.layout != "folder":
            return True
        return self.columns is not None and (self.columns.boxes is not None or self.columns.mask is not None)

    def main_table(self, root: Path | None = None) -> str:
        """Return the name of the table of labels; `root` decides whether a distributed one ends with .gz."""
        return self.table or name_in(root, CHALLENGE_TABLES[self.layout])

    def files(self, root: Path | None = None) -> list[str]:
        """Return the names of the tables that must exist, relative to the root (or absolute)."""
        lists = [] if self.split_lists is None else self.split_lists.files()
        return [name for name in (self.main_table(root), self.patients, self.lung_masks, *lists) if name is not None]


class CardSplit(Record):
    """Counts of a part or a subset of the labelled images."""

    images: Count
    patients: Count | None  # null where patients are unknown
    positives: Count
    prevalence: float | None  # null where there are no images
    sha256: str  # of the sorted ids


class CardRemainder(Record):
    """Ids without a counterpart."""

    count: Count
    first: list[str]  # not all of them where they are many


class Card(Record):
    """Contents of card.json: what a labelled data set holds, how it was split, and the terms of its use."""

    dataset: str
    finding: str
    license: str
    how_to_get: str
    images: Count
    labelled: Count
    positives: Count
    boxes: Count
    boxes_beyond_the_edge: Count
    masks: Count
    masks_of_overlapping_regions: Count
    lung_masks: Count
    split_by: str
    seed: int
    shares: SplitShares | None  # null where the user's own lists or the split of pre-training were followed
    patient_split: PatientSplit | None = None  # the split of pre-training, if that was followed
    splits: dict[Literal["train", "validation", "test"], CardSplit]
    subsets: dict[int, CardSplit]  # by percent of the training part
    pixels_in_several_splits: Count
    rejects: dict[str, CardRemainder]  # by reason


@dataclass(frozen=True, kw_only=True)
class LabelImagesJob(Job):
    """Label the images of one data set: target, boxes, masks; splits and nested subsets, hashed in a card."""

    stage = "label_images"
    place = "{dataset}"
    over = "evaluated dataset"

    settings: LabelImagesSettings
    root: Path = source(tracked=False, help="folder of the data set, as distributed, with the tables of labels")
    dataset: str = option("name of the data set in config.yaml")
    images: Path = source("dicom_to_arrow", "manifest.json")
    labels: Path = product("labels.arrow", table="LABELS")
    card: Path = product("card.json", record=Card, summary=True)
    private: Path | None = source(
        optional=True, tracked=False, help="folder of the key of index_inputs; required for keyed identifiers"
    )
    files: Path | None = source(
        "index_inputs", "files.arrow", optional=True, help="the distributed split; required with `patient_split`"
    )

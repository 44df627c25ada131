"""What label_images reads and writes: where the labels of a data set are and how they are split."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ..common.contract import Job, option, product, source
from ..common.data.distributions import CHALLENGE_TABLES, name_in
from ..common.data.own_tables import OwnTables, names_of
from ..common.data.patient_split import PatientSplit, Split
from ..common.records import Count, Record
from ..common.settings import Name
from .label_columns import BoxesForm, BoxesTable, FindingColumns, LabelColumns, Readers, UncertainPolicy, folded
from .split_settings import SplitLists, SplitShares


class LabelImagesSettings(OwnTables):
    """Settings of one data set's block of `label_images`."""

    layout: Literal["rsna", "siim", "folder"] = Field(description="how the data set is laid out on disk")
    finding: Name | None = Field(None, description="name of the only finding, e.g. lung_opacity or pneumothorax")
    findings: dict[Name, FindingColumns] | None = Field(
        None,
        min_length=1,
        description="folder: several findings instead of `finding`, each with its column (or word), e.g. "
        "`{edema: Edema, effusion: {target: Pleural Effusion, boxes: effusion_boxes}}`",
    )
    findings_separator: str = Field("|", min_length=1, description="text between the words in `columns.findings`")
    normal_values: list[str] = Field(
        ["No Finding", "No finding"],
        description="folder: words in `columns.findings` that say that no finding is present",
    )
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
        [], description="folder: cells of `target` to treat as unlabelled; the card counts them"
    )
    uncertain_values: list[str] = Field(
        [], description="folder: cells of `target` that mean uncertain, e.g. -1 in CheXpert; the card counts them"
    )
    uncertain: UncertainPolicy = Field(
        "ignore", description="what uncertain means: ignore (unlabelled), zeros (absent) or ones (present)"
    )
    boxes_form: BoxesForm = Field(
        "xywh", description="folder: the four numbers of a box: x y width height, or x_min y_min x_max y_max"
    )
    boxes_size: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = Field(
        None,
        description="folder: `[width, height]` of the images on which all boxes were drawn, e.g. [1024, 1024] of "
        "resampled ones, or [1, 1] for shares of the sides; null: the original",
    )
    boxes_table: BoxesTable | None = Field(None, description="folder: a further table, of boxes alone")
    readers: Readers | None = Field(None, description="folder: several readers of an image; null: one label an image")
    license: str | None = Field(None, description="terms of the data set, for the card; null: those of the layout")

    @model_validator(mode="after")
    def _fits_together(self) -> "LabelImagesSettings":
        lists = {"positive_values": self.positive_values, "negative_values": self.negative_values,
                 "unlabelled_values": self.unlabelled_values,
                 "uncertain_values": self.uncertain_values}  # fmt: skip
        for (name, values), (other, others) in combinations(lists.items(), 2):
            if both := {value.strip() for value in values} & {value.strip() for value in others}:
                raise ValueError(f"{min(both)!r} stands in {name} and in {other}: remove it from one of them")
        ascending = all(low < high for low, high in zip(self.subsets, self.subsets[1:], strict=False))
        if not self.subsets or not ascending or self.subsets[0] < 1 or self.subsets[-1] != 100:
            raise ValueError("subsets must be ascending percentages from 1 on that end with 100")
        if self.patient_split is not None and self.split_lists is not None:
            raise ValueError("`patient_split` and `split_lists` are both given: keep one")
        return self

    @field_validator("findings", mode="before")
    @classmethod
    def _a_text_is_a_column(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: {"target": each} if isinstance(each, str) else each for name, each in value.items()}

    @model_validator(mode="after")
    def _names_its_findings(self) -> "LabelImagesSettings":
        if (self.finding is None) == (self.findings is None):
            raise ValueError("name either `finding`, or several `findings` with their columns")
        if self.findings is None:
            if self.columns is not None and (self.columns.target is None or self.columns.findings is not None):
                raise ValueError("`finding` needs `columns.target`, and `columns.findings` needs `findings`")
            return self
        if self.columns is None:
            raise ValueError(f"layout `{self.layout}` has one finding: name it with `finding`")
        own = [each for columns in self.findings.values() for each in (columns.boxes, columns.mask)]
        if self.columns.findings is None:
            if self.columns.target or self.columns.boxes or self.columns.mask:
                raise ValueError("with `findings`, give target, boxes and mask there, not under `columns`")
        elif any(own):
            raise ValueError("with `columns.findings`, boxes and masks are those of a row: `columns.boxes`, `mask`")
        if self.columns.findings is None and (also := [name for name, each in self.findings.items() if each.also]):
            raise ValueError(f"findings.{also[0]}.also: further words need the column `columns.findings`")
        listed = self.columns.findings is not None
        for what in ("target", "boxes", "mask"):
            cells = [cell for each in self.findings.values() for cell in names_of(getattr(each, what))]
            cells += [word for each in self.findings.values() for word in each.also if what == "target"]
            same = [folded(cell) if listed and what == "target" else cell for cell in cells]
            if repeated := [cell for cell, key in zip(cells, same, strict=True) if same.count(key) > 1]:
                raise ValueError(f"{repeated[0]!r} is the {what} of two findings: remove one")
        normal = set(map(folded, self.normal_values))
        both = [word for each in self.findings.values() for word in each.words if folded(word) in normal]
        if listed and both:
            raise ValueError(f"{both[0]!r} stands in findings and in normal_values: remove it from one of them")
        return self

    @model_validator(mode="after")
    def _has_readers_or_a_second_table(self) -> "LabelImagesSettings":
        if self.columns is None and (self.boxes_table or self.readers):
            raise ValueError("`boxes_table` and `readers` belong to layout `folder`")
        if self.boxes_table and self.readers:
            raise ValueError("`boxes_table` and `readers` are both given: boxes of readers stand in their own rows")
        if self.boxes_table and (self.boxes_table.finding is None) == (self.finding is None):
            raise ValueError("`boxes_table.finding` is the column of the word, which `findings` need and `finding` not")
        if self.boxes_table and self.columns and self.columns.study:
            raise ValueError("`boxes_table` needs `columns.image`: rows of studies have no image")
        if self.readers and self.has_phrases:
            raise ValueError("`readers` agree on boxes of findings, not of phrases: remove `columns.phrase` or them")
        if self.readers and any(kind == "mask" for _, _, kind, _ in self.outline_columns()):
            raise ValueError("`readers` agree on boxes, not on masks: remove the columns of masks")
        return self

    @model_validator(mode="after")
    def _describes_boxes_that_are_named(self) -> "LabelImagesSettings":
        of_rows = self.columns.boxes_size if self.columns else None
        if self.boxes_size and of_rows:
            raise ValueError("`boxes_size` and `columns.boxes_size` are both given: keep one")
        places = [key for key, _, kind, _ in self.outline_columns() if kind == "boxes"]
        if of_rows and places == ["boxes_table.boxes"]:
            raise ValueError(
                "`columns.boxes_size` is of the boxes in their own rows, not of `boxes_table`: `boxes_size`"
            )
        has_boxes = bool(places)
        for key, given in (("boxes_form", self.boxes_form != "xywh"), ("boxes_size", self.boxes_size or of_rows)):
            if given and not has_boxes:
                raise ValueError(f"`{key}` describes the boxes of layout `folder`: name their column, `columns.boxes`")
        return self

    @property
    def by_finding(self) -> dict[str, FindingColumns]:
        """Return where each finding is; those of distributed layouts have no column."""
        if self.findings is not None:
            return self.findings
        assert self.finding is not None, "the validator saw to it"
        columns = self.columns
        if columns is None:
            return {self.finding: FindingColumns(target="")}
        return {self.finding: FindingColumns(target=str(columns.target), boxes=columns.boxes, mask=columns.mask)}

    def uncertain_as(self, finding: str) -> UncertainPolicy:
        """Return what an uncertain label of a finding means."""
        return self.by_finding[finding].uncertain or self.uncertain

    def named_columns(self) -> Mapping[str, str]:
        """Return the columns that the table of a `folder` data set must have, each with the key that names it."""
        readers = {self.readers.column: "readers.column"} if self.readers else {}
        named = {**readers, **super().named_columns()}
        if self.findings is not None and self.columns is not None and self.columns.findings is None:
            for finding, columns in self.findings.items():
                for key in ("target", "boxes", "mask"):
                    for name in names_of(getattr(columns, key)):
                        named.setdefault(name, f"findings.{finding}.{key}")
        return named

    def outline_columns(self) -> list[tuple[str, str, Literal["boxes", "mask"], list[str]]]:
        """Return (key, column or columns, kind, findings) of each declared place of boxes or masks."""
        if self.columns is None:
            return []
        places: dict[str, tuple[LabelColumns | FindingColumns, list[str]]] = {
            "columns": (self.columns, [*self.by_finding])
        }
        places |= {f"findings.{name}": (each, [name]) for name, each in (self.findings or {}).items()}
        kinds: tuple[Literal["boxes", "mask"], ...] = ("boxes", "mask")
        further = self.boxes_table
        found: list[tuple[str, str, Literal["boxes", "mask"], list[str]]] = []
        if further is not None:
            found.append(("boxes_table.boxes", ", ".join(names_of(further.boxes)), "boxes", [*self.by_finding]))
        return found + [
            (f"{place}.{kind}", ", ".join(columns), kind, findings)
            for place, (each, findings) in places.items()
            for kind in kinds
            if (columns := names_of(getattr(each, kind)))
        ]

    @property
    def outlined(self) -> bool:
        """Return whether the layout or a declared column gives boxes or masks."""
        return self.columns is None or bool(self.outline_columns())

    @property
    def test_alone(self) -> bool:
        """Return whether every labelled image is a test image."""
        if self.split_lists is not None:
            return self.split_lists.test_alone
        return self.patient_split is None and self.split.test == 1

    @property
    def has_phrases(self) -> bool:
        """Return whether a column gives the phrases that boxes are of."""
        return self.columns is not None and self.columns.phrase is not None

    def main_table(self, root: Path | None = None) -> str:
        """Return the name of the table of labels, "" for a tree; `root` decides whether it ends with .gz."""
        name = self.table or ("" if self.layout == "folder" else CHALLENGE_TABLES[self.layout])
        return name_in(root, name) if name else ""

    def files(self, root: Path | None = None) -> list[str]:
        """Return the names of the tables that must exist, relative to the root (or absolute)."""
        lists = [] if self.split_lists is None else self.split_lists.files()
        boxes = None if self.boxes_table is None else self.boxes_table.table
        return [name for name in (self.main_table(root), self.patients, self.lung_masks, boxes, *lists) if name]


class CardSplit(Record):
    """Counts of a part or a subset of the labelled images; `positives` have at least one finding."""

    images: Count
    patients: Count | None  # null where patients are unknown
    positives: Count
    prevalence: float | None  # null where there are no images
    sha256: str  # of the sorted ids


class CardRemainder(Record):
    """Ids without a counterpart."""

    count: Count
    first: list[str]  # not all of them where they are many
    reasons: dict[str, Count] = Field(
        default_factory=dict
    )  # why there is no image: a code of dicom_to_arrow, or not_in_index


class CardPart(Record):
    """Counts of the labels of one finding in a part or subset."""

    images: Count
    positives: Count


class CardFinding(Record):
    """Counts of one finding; images without label are in none of the parts."""

    labelled: Count
    positives: Count
    uncertain: Count  # cells of `uncertain_values`
    uncertain_as: UncertainPolicy
    boxes: Count
    masks: Count
    splits: dict[Split, CardPart]
    subsets: dict[int, CardPart]  # by percent of the training part


class Card(Record):
    """Contents of card.json: what a labelled data set holds, how it was split, and the terms of its use.

    Counts are of images; `positives` have at least one finding.
    """

    dataset: str
    findings: dict[str, CardFinding]
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
    phrases: Count = 0  # in the whole data set, each with boxes in one image
    split_by: str
    seed: int
    shares: SplitShares | None  # null where the user's own lists or the split of pre-training were followed
    patient_split: PatientSplit | None = None  # the split of pre-training, if that was followed
    splits: dict[Split, CardSplit]
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
    rejects: Path | None = source(
        "dicom_to_arrow", "rejects.arrow", optional=True, help="says why labelled images are missing"
    )
    labels: Path = product("labels.arrow", table="LABELS")
    phrases: Path = product(
        "phrases.arrow", table="PHRASES", help="sentences with their boxes; empty without `columns.phrase`"
    )
    card: Path = product("card.json", record=Card, summary=True)
    private: Path | None = source(
        optional=True, tracked=False, help="folder of the key of index_inputs; required for keyed identifiers"
    )
    files: Path | None = source(
        "index_inputs", "files.arrow", optional=True, help="the distributed split; required with `patient_split`"
    )
    roots: tuple[Path, ...] = option(
        "further folders of the data set: links may lead into them, and masks that are not below --root are sought "
        "there",
        default=(),
    )

"""Settings of where labels, boxes and masks are in a user's own table; a part of the contract, as light as that."""

import unicodedata
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ..common.data.own_tables import ImageColumns, names_of
from ..common.settings import Settings, UniqueList

UncertainPolicy = Literal["ignore", "zeros", "ones"]  # as CheXpert's authors name them (Irvin et al., AAAI 2019)
BoxesForm = Literal["xywh", "xyxy"]


def folded(word: str) -> str:
    """Return a word in lower case, with composed letters and single blanks: tables write one word in several ways."""
    return " ".join(unicodedata.normalize("NFC", word).casefold().split())


def _one_or_four(columns: str | list[str]) -> str | list[str]:
    if not isinstance(columns, str) and len(columns) != 4:
        raise ValueError("name one column, or four of one number each: [x, y, width, height]")
    return columns


BoxColumns = Annotated[str | UniqueList[str], AfterValidator(_one_or_four)]


class FindingColumns(Settings):
    """Name the place of a finding in a `folder` data set's table."""

    target: str = Field(description="its column; with `columns.findings`, the word for it in that column")
    also: UniqueList[str] = Field(
        default_factory=list,
        exclude_if=lambda value: not value,  # a data set without it keeps the digest of its settings
        description="with `columns.findings`: further words for it, e.g. `[atypical pneumonia]`",
    )
    boxes: BoxColumns | None = Field(None, description="column or four columns of its boxes, as `columns.boxes`")
    mask: str | None = Field(None, description="column of its masks, as `columns.mask`")
    uncertain: UncertainPolicy | None = Field(None, description="`uncertain` for this finding; null: that of all")

    @property
    def words(self) -> list[str]:
        """Return all words for it in `columns.findings`."""
        return [self.target, *self.also]


class LabelColumns(ImageColumns):
    """Names of the columns of a `folder` data set's table; those of the image as in index_inputs."""

    image: str | None = Field(None, description="path of the image, relative to the data set's root; or give `study`")
    study: str | None = Field(
        None, description="id of the study, as index_inputs has it: a row labels all images of its study"
    )
    target: str | None = Field(
        None,
        description="the label; a blank cell is an image without label, unless the values name it. Needed with "
        "`finding`; with `columns.findings` it labels the findings of its row, which are present without it",
    )
    findings: str | None = Field(
        None,
        description="column that lists the findings of a row by their words in `findings`, separated by "
        "`findings_separator` or as a list in brackets; an image may have several rows",
    )
    boxes: BoxColumns | None = Field(
        None,
        description="boxes `x y width height` in pixels of the original, separated by ';' or in brackets; or four "
        "columns `[x, y, width, height]` of one box per row, of which an image may have several. See `boxes_form`, "
        "`boxes_size`",
    )
    boxes_size: UniqueList[str] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="`[width, height]`: columns with the size of the image on which the boxes of the row were drawn, "
        "e.g. image_width and image_height of MS-CXR; null: that of the original, or `boxes_size`",
    )
    phrase: str | None = Field(
        None,
        exclude_if=lambda value: value is None,  # a data set without it keeps the digest of its settings
        description="sentence that the boxes of the row are of, e.g. label_text of MS-CXR; rows of one image with one "
        "sentence are one phrase with several boxes. phrase_grounding points with it. Needs `boxes`",
    )
    mask: str | None = Field(
        None,
        description="path of a PNG of the image's size, below the root, without transparency; nonzero samples are the "
        "finding",
    )
    lung_mask: str | None = Field(None, description="path of such a PNG; nonzero samples are lung")

    @model_validator(mode="after")
    def _label_images_or_studies(self) -> "LabelColumns":
        if (self.image is None) == (self.study is None):
            raise ValueError("name either `image`, or `study` where rows label whole studies")
        if self.study is not None and (self.image_id or self.boxes or self.mask or self.lung_mask):
            raise ValueError("rows of studies have no image: `image_id`, boxes and masks need `image`")
        if self.phrase is not None and self.boxes is None:
            raise ValueError("`phrase` is the sentence that the boxes of a row are of: name them in `boxes`, too")
        return self

    @property
    def key(self) -> str:
        """Return the column whose cell names what a row labels."""
        return self.study or self.image_id or str(self.image)


class Readers(Settings):
    """Several readers of one image, each with rows of their own, made one label by vote.

    A finding is present where `agree` readers say so. Boxes of different readers are one box where they overlap, and
    are kept, as the mean of their corners, where `agree` readers drew them (cf. Solovyev et al., Image and Vision
    Computing 107:104117, 2021, whose boxes are weighted by scores that readers do not give).
    """

    column: str = Field(description="column of the reader, e.g. rad_id of VinDr-CXR")
    agree: int = Field(2, ge=1, description="readers who must agree; with fewer, the finding is absent")
    iou: float = Field(0.4, gt=0, le=1, description="least intersection over union of two readers' boxes that are one")


class BoxesTable(Settings):
    """A second table with boxes, where the table of labels has none."""

    table: str = Field(description="its name, relative to the root or absolute; separator and encoding as the first's")
    image: str = Field(description="column of the image, with the cells of `columns.image_id`, else of `columns.image`")
    finding: str | None = Field(None, description="column of the finding's word; null: all boxes are of the only one")
    words: dict[str, str] = Field(
        default_factory=dict, description="word there: word in `findings`, e.g. `{Infiltrate: Infiltration}` of NIH"
    )
    boxes: BoxColumns = Field(description="as `columns.boxes`")

    def names(self) -> Mapping[str, str]:
        """Return the columns that the table must have, each with the key that names it."""
        keys = {"image": [self.image], "finding": names_of(self.finding), "boxes": names_of(self.boxes)}
        return {name: f"boxes_table.{key}" for key, names in keys.items() for name in names}

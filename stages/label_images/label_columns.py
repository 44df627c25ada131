"""Settings of where labels, boxes and masks are in a user's own table; a part of the contract, as light as that."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ..common.data.own_tables import ImageColumns
from ..common.settings import Settings, UniqueList

UncertainPolicy = Literal["ignore", "zeros", "ones"]  # as CheXpert's authors name them (Irvin et al., AAAI 2019)


BoxesForm = Literal["xywh", "xyxy"]


def _one_or_four(columns: str | list[str]) -> str | list[str]:
    if not isinstance(columns, str) and len(columns) != 4:
        raise ValueError("name one column, or four of one number each: [x, y, width, height]")
    return columns


BoxColumns = Annotated[str | UniqueList[str], AfterValidator(_one_or_four)]


class FindingColumns(Settings):
    """Name the place of a finding in a `folder` data set's table."""

    target: str = Field(description="its column; with `columns.findings`, the word for it in that column")
    boxes: BoxColumns | None = Field(None, description="column or four columns of its boxes, as `columns.boxes`")
    mask: str | None = Field(None, description="column of its masks, as `columns.mask`")
    uncertain: UncertainPolicy | None = Field(None, description="`uncertain` for this finding; null: that of all")


class LabelColumns(ImageColumns):
    """Names of the columns of a `folder` data set's table; those of the image as in index_inputs."""

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
    mask: str | None = Field(
        None,
        description="path of a PNG of the image's size, below the root, without transparency; nonzero samples are the "
        "finding",
    )
    lung_mask: str | None = Field(None, description="path of such a PNG; nonzero samples are lung")

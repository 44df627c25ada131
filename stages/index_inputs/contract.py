"""What index_inputs reads and writes: the layout of a data set on disk, and how its identifiers are written."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, model_validator

from ..common.contract import Job, option, product, source
from ..common.data.distributions import (
    CHECKSUMS,
    MIMIC_METADATA,
    MIMIC_RECORDS,
    MIMIC_SPLIT,
    MIMIC_STUDIES,
    RSNA_LABELS,
    SIIM_RUN_LENGTHS,
    Layout,
)
from ..common.data.identifiers import IdentifierKind, resolve_kind
from ..common.settings import Settings, UniqueList


class FolderColumns(Settings):
    """Names of the columns of a `folder` data set's CSV."""

    image: str = Field(description="path of the image, relative to the data set's root")
    image_id: str | None = Field(None, description="unique id of the image; null: the image's path is its id")
    patient: str | None = Field(None, description="id of the patient; required if there are reports")
    study: str | None = Field(None, description="id of the study; null: each image is its own study")
    view: str | UniqueList[str] | None = Field(
        None, description="projection, e.g. PA or AP; several columns are read together: [Frontal/Lateral, AP/PA]"
    )
    report: str | None = Field(None, description="text of the report; give this or `report_file`")
    report_file: str | None = Field(None, description="path of the report's text file, relative to the root")
    license: str | None = Field(None, description="licence of the row, counted in the journal")

    @model_validator(mode="after")
    def _report_comes_once_and_with_patient(self) -> "FolderColumns":
        if self.report and self.report_file:
            raise ValueError("`report` and `report_file` are both given: keep one")
        if (self.report or self.report_file) and not self.patient:
            raise ValueError("reports need `patient`: pre-training is split by patient")
        return self

    def names(self) -> list[str]:
        """Return the columns that the CSV must have."""
        single = [name for key, name in self.model_dump().items() if key != "view" and name is not None]
        return list(dict.fromkeys([*single, *self.view_columns]))

    @property
    def view_columns(self) -> list[str]:
        """Return the columns that say the view."""
        return [self.view] if isinstance(self.view, str) else self.view or []


class IndexInputsSettings(Settings):
    """Settings of one data set's block of `index_inputs`."""

    layout: Layout = Field(description="how the data set is laid out on disk")
    shards: int = Field(
        1,
        ge=1,
        description="number of dicom_to_arrow jobs; each gets a contiguous block of files. A shard takes about "
        "images / shards x size^2 bytes; aim for at most 500 MB: 377,110 / 64 x 256^2 = 386 MB for MIMIC-CXR. "
        "gather warns above 1 GB and suggests a number",
    )
    identifiers: IdentifierKind | None = Field(
        None, description="distributed: unchanged; keyed: HMAC; null: keyed for layout `folder`, else distributed"
    )
    table: str | None = Field(None, description="folder: name of the CSV, relative to the root")
    columns: FolderColumns | None = Field(None, description="folder: names of the CSV's columns")
    patients: str | None = Field(
        None, description="rsna, siim: CSV of image_id and patient_id, relative to the root; null: patients unknown"
    )

    @model_validator(mode="after")
    def _fits_the_layout(self) -> "IndexInputsSettings":
        folder = self.layout == "folder"
        if folder and (self.table is None or self.columns is None):
            raise ValueError("layout `folder` needs `table` and `columns`")
        if not folder and (self.table is not None or self.columns is not None):
            raise ValueError(f"`table` and `columns` belong to layout `folder`, not to `{self.layout}`")
        if self.patients is not None and self.layout not in ("rsna", "siim"):
            raise ValueError(f"`patients` belongs to layouts `rsna` and `siim`, not to `{self.layout}`")
        return self

    @property
    def identifier_kind(self) -> IdentifierKind:
        """Return how identifiers are written, with the layout's default resolved."""
        return resolve_kind(self.layout, self.identifiers)


# The folder that holds the images; `folder` data sets name theirs in the table.
IMAGE_FOLDERS: dict[Layout, str] = {
    "mimic_cxr": "files",
    "rsna": "stage_2_train_images",
    "siim": "dicom-images-train",
}


def index_files(settings: IndexInputsSettings, root: Path | None = None) -> list[str]:
    """Return the names, relative to the root, of the index files that must exist.

    MIMIC-CXR (DICOM) and MIMIC-CXR-JPG have different ones. If `root` is given, its contents decide; without it the
    names are those of MIMIC-CXR.
    """
    if settings.layout == "folder":
        assert settings.table is not None  # the settings' validator has checked it
        return [settings.table]
    if settings.layout == "mimic_cxr":
        return [MIMIC_METADATA] if root is not None and is_mimic_jpg(root) else [MIMIC_RECORDS, MIMIC_STUDIES]
    patients = [] if settings.patients is None else [settings.patients]
    return [RSNA_LABELS if settings.layout == "rsna" else SIIM_RUN_LENGTHS, *patients]


def optional_index_files(settings: IndexInputsSettings) -> list[str]:
    """Return the names of index files that are read where they exist."""
    tables = [MIMIC_STUDIES, MIMIC_METADATA, MIMIC_SPLIT] if settings.layout == "mimic_cxr" else []
    return [*tables, CHECKSUMS]


def is_mimic_jpg(root: Path) -> bool:
    """Return whether a root is MIMIC-CXR-JPG: it has the metadata but no record list.

    DICOM trees may hold a copy of the metadata, too.
    """
    return (root / MIMIC_METADATA).is_file() and not (root / MIMIC_RECORDS).is_file()


@dataclass(frozen=True, kw_only=True)
class IndexInputsJob(Job):
    """Read a data set's own index into tables of files and reports; missing files are named."""

    stage = "index_inputs"
    place = "{dataset}"
    over = "dataset"

    settings: IndexInputsSettings
    root: Path = source(tracked=False, help="folder of the data set, as distributed")
    dataset: str = option("name of the data set in config.yaml")
    files: Path = product("files.arrow", table="FILES")
    reports: Path = product("reports.arrow", table="REPORTS", summary=True)
    private: Path | None = source(
        optional=True, tracked=False, help="folder of the key and the reverse mapping; required for keyed identifiers"
    )
    roots: tuple[Path, ...] = option(
        "further folders of the data set: links may lead into them, and files that are not below --root are sought "
        "there",
        default=(),
    )

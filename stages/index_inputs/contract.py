"""What index_inputs reads and writes: the layout of a data set on disk, and how its identifiers are written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from ..common.contract import Job, option, product, source
from ..common.data.distributions import (
    CHALLENGE_TABLES,
    CHECKSUMS,
    MIMIC_METADATA,
    MIMIC_RECORDS,
    MIMIC_SPLIT,
    MIMIC_STUDIES,
    is_mimic_jpg,
    name_in,
)
from ..common.data.own_tables import ImageColumns, OwnTables, names_of
from ..common.settings import FolderPath, UniqueList

REPORT_SECTIONS = frozenset(["findings", "impression"])  # split_reports knows their headers in every language


class FolderColumns(ImageColumns):
    """Names of the columns of a `folder` data set's table."""

    image: str = Field(description="path of the image, relative to the data set's root")
    patient: str | None = Field(None, description="id of the patient; required if there are reports")
    patient_pattern: str | None = Field(
        None,
        description="regular expression whose group is the patient within the cell of `patient`: with "
        "`patient: Path`, `(patient\\d+)/` finds that of CheXpert",
    )
    study: str | UniqueList[str] | None = Field(
        None,
        description="id of the study; several columns are read together, where an id is unique within a patient only: "
        "[patient, exam]. Null: each image is its own study",
    )
    study_pattern: str | None = Field(None, description="as `patient_pattern`, for `study`")
    view: str | UniqueList[str] | None = Field(
        None, description="projection, e.g. PA or AP; several columns are read together: [Frontal/Lateral, AP/PA]"
    )
    sex: str | None = Field(
        None,
        description="sex of the patient, by `male_values` and `female_values`; a blank cell says nothing. Null: that "
        "of a DICOM file's header",
    )
    age: str | None = Field(
        None,
        description="age of the patient in years (62, 62.0), or as DICOM writes it (062Y, 009M); a blank cell says "
        "nothing. Null: that of a DICOM file's header. 90 and above are kept as 90",
    )
    split: str | None = Field(
        None,
        description="part of each patient, train, validation (or val, dev) or test, which "
        "`patient_split.use_distributed` follows; blank cells: by the hash of the patient",
    )
    inverted: str | None = Field(
        None,
        description="says of a JPEG or PNG whether it was written from MONOCHROME1 pixels without inverting them "
        "(PadChest: PhotometricInterpretation_DICOM), by `inverted_values`; a blank cell says nothing. A DICOM file "
        "states it itself",
    )
    report: str | dict[str, str] | None = Field(
        None,
        description="text of the report; give this or `report_file`. Two columns are named by what they hold, "
        "`{findings: FINDINGS, impression: IMPRESSION}`, and become sections; a blank cell leaves its section out. "
        "`[Findings, Impression]` is short for columns with these names",
    )
    report_file: str | None = Field(None, description="path of the report's text file, relative to the root")

    @model_validator(mode="after")
    def _patterns_have_one_group_and_a_column(self) -> "FolderColumns":
        for key in ("patient", "study"):
            if (pattern := getattr(self, f"{key}_pattern")) is None:
                continue
            if not isinstance(getattr(self, key), str):
                raise ValueError(f"`{key}_pattern` needs `{key}`, the one column in which it is found")
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"{key}_pattern: {pattern!r} is no regular expression: {error}") from None
            if groups != 1:
                raise ValueError(f"{key}_pattern: {pattern!r} has {groups} groups: put one in (parentheses)")
        return self

    def names(self) -> Mapping[str, str]:
        """Return the columns that the table must have, each with the key that names it."""
        return {name: key for name, key in super().names().items() if not key.endswith("_pattern")}

    @field_validator("report", mode="before")
    @classmethod
    def _sections_are_known(cls, value: Any) -> Any:
        if isinstance(value, list):
            value = {str(name).strip().lower(): name for name in value}
        if isinstance(value, Mapping) and not (value and REPORT_SECTIONS.issuperset(value)):
            raise ValueError("name the columns by what they hold: {findings: COLUMN, impression: COLUMN}")
        if isinstance(value, Mapping) and len({*value.values()}) < len(value):
            raise ValueError("findings and impression are one column: give `report` its name alone")
        return value

    @model_validator(mode="after")
    def _report_comes_once_and_with_patient(self) -> "FolderColumns":
        if self.report and self.report_file:
            raise ValueError("`report` and `report_file` are both given: keep one")
        if (self.report or self.report_file) and not self.patient:
            raise ValueError("reports need `patient`: pre-training is split by patient")
        if self.split and not self.patient:
            raise ValueError("`split` needs `patient`: no patient may be in two parts")
        return self

    @property
    def view_columns(self) -> list[str]:
        """Return the columns that say the view."""
        return names_of(self.view)


class IndexInputsSettings(OwnTables):
    """Settings of one data set's block of `index_inputs`."""

    shards: int = Field(
        1,
        ge=1,
        description="number of dicom_to_arrow jobs; each gets a contiguous block of files. A shard takes about "
        "images / shards x size^2 bytes; aim for at most 500 MB: 377,110 / 64 x 256^2 = 386 MB for MIMIC-CXR. "
        "gather warns above 1 GB and suggests a number",
    )
    distribution: str | None = Field(
        None,
        exclude_if=lambda value: value is None,  # a data set without it keeps the digest of its settings
        description="name of the public data set, for the methods; `datasets.NAME.distribution` sets it",
    )
    columns: FolderColumns | None = Field(None, description="folder: names of the table's columns")
    inverted_values: list[str] = Field(
        ["1", "1.0", "true", "yes", "MONOCHROME1"],
        description="folder: cells of `columns.inverted` that mean inverted, in any case",
    )
    upright_values: list[str] = Field(
        ["0", "0.0", "false", "no", "MONOCHROME2", "RGB"],
        description="folder: cells of `columns.inverted` that mean not inverted, in any case",
    )
    male_values: list[str] = Field(["M", "male"], description="folder: cells of `columns.sex`, in any case")
    female_values: list[str] = Field(["F", "female"], description="folder: cells of `columns.sex`, in any case")
    find_images_in: FolderPath | None = Field(
        None,
        description="folder: a folder below the root, `.` for the root, in which and below which images are looked "
        "for by name: cells of `columns.image` are names of files, with or without their ending. Null: they are paths",
    )
    patients: str | None = Field(
        None, description="rsna, siim: CSV of image_id and patient_id, relative to the root; null: patients unknown"
    )

    @model_validator(mode="after")
    def _patients_fit_the_layout(self) -> "IndexInputsSettings":
        if self.patients is not None and self.layout not in CHALLENGE_TABLES:
            raise ValueError(f"`patients` belongs to layouts `rsna` and `siim`, not to `{self.layout}`")
        if self.find_images_in is not None and self.layout != "folder":
            raise ValueError(f"`find_images_in` belongs to layout `folder`, not to `{self.layout}`")
        if self.find_images_in is not None and self.tree is not None:
            raise ValueError("`find_images_in` is for names in a table, and `tree` finds images by itself: remove one")
        return self

    @model_validator(mode="after")
    def _a_cell_has_one_meaning(self) -> "IndexInputsSettings":
        for name, other in (("inverted_values", "upright_values"), ("male_values", "female_values")):
            cells, others = ({each.strip().lower() for each in getattr(self, key)} for key in (name, other))
            if both := cells & others:
                raise ValueError(f"{min(both)!r} stands in {name} and in {other}: remove it from one")
        return self


def index_files(settings: IndexInputsSettings, root: Path | None = None) -> list[str]:
    """Return the names, relative to the root, of the index files that must exist.

    MIMIC-CXR (DICOM) and MIMIC-CXR-JPG have different ones. If `root` is given, its contents decide, and whether names
    end with .gz; without it the names are those of MIMIC-CXR as distributed.
    """
    if settings.layout == "folder":
        return [] if settings.table is None else [name_in(root, settings.table)]  # a tree has no table
    if settings.layout == "mimic_cxr":
        jpg = root is not None and is_mimic_jpg(root)
        return [name_in(root, name) for name in ([MIMIC_METADATA] if jpg else [MIMIC_RECORDS, MIMIC_STUDIES])]
    patients = [] if settings.patients is None else [settings.patients]
    return [name_in(root, CHALLENGE_TABLES[settings.layout]), *patients]


def optional_index_files(settings: IndexInputsSettings, root: Path) -> list[str]:
    """Return the names of index files that are read where they exist."""
    tables = [MIMIC_STUDIES, MIMIC_METADATA, MIMIC_SPLIT] if settings.layout == "mimic_cxr" else []
    return [*(name_in(root, name) for name in tables), CHECKSUMS]


@dataclass(frozen=True, kw_only=True)
class IndexInputsJob(Job):
    """Read a data set's own index into tables of files and reports; missing files are named."""

    stage = "index_inputs"
    place = "{dataset}"
    over = "dataset"
    is_kept = False  # it writes below private/, too, and takes seconds

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

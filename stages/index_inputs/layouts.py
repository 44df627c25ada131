"""Names that the layouts have on disk, as distributed, and where each data set is to be had.

Imports no table library: the workflow reads the names from here to declare its inputs.
"""

from pathlib import Path

from stages.common.distributions import (
    CHECKSUMS,
    MIMIC_METADATA,
    MIMIC_RECORDS,
    MIMIC_SPLIT,
    MIMIC_STUDIES,
    RSNA_LABELS,
    SIIM_RUN_LENGTHS,
    Layout,
)
from stages.index_inputs.settings import IndexInputsSettings

# The folder that holds the images; `folder` data sets name theirs in the table.
IMAGE_FOLDERS: dict[Layout, str] = {
    "mimic_cxr": "files",
    "rsna": "stage_2_train_images",
    "siim": "dicom-images-train",
}


def index_files(settings: IndexInputsSettings, root: Path | None = None) -> list[str]:
    """Names, relative to the root, of the index files that must exist.

    MIMIC-CXR (DICOM) and MIMIC-CXR-JPG have different ones: where `root` is given, what lies there decides;
    without it the names are those of MIMIC-CXR.
    """
    if settings.layout == "folder":
        assert settings.table is not None  # the settings' validator saw to it
        return [settings.table]
    if settings.layout == "mimic_cxr":
        return [MIMIC_METADATA] if root is not None and is_mimic_jpg(root) else [MIMIC_RECORDS, MIMIC_STUDIES]
    patients = [] if settings.patients is None else [settings.patients]
    return [RSNA_LABELS if settings.layout == "rsna" else SIIM_RUN_LENGTHS, *patients]


def optional_index_files(settings: IndexInputsSettings) -> list[str]:
    """Names of index files that are read where they exist."""
    tables = [MIMIC_STUDIES, MIMIC_METADATA, MIMIC_SPLIT] if settings.layout == "mimic_cxr" else []
    return [*tables, CHECKSUMS]


def is_mimic_jpg(root: Path) -> bool:
    """MIMIC-CXR-JPG has the metadata but no record list; DICOM trees may hold a copy of the metadata too."""
    return (root / MIMIC_METADATA).is_file() and not (root / MIMIC_RECORDS).is_file()

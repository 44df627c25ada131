"""Headers of a few DICOM files: dicom_to_arrow rejects every image of a data set without Modality, hours into a run."""

import warnings
from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from stages.common.errors import InputError
from stages.common.files.rooted_files import RootedFileError, read_under
from stages.configuration import Config
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from workflow.doctor.findings import Finding
from workflow.doctor.indexes import RASTER, Indexes

_LOOKED_INTO = 5  # evenly spaced over the index
_START = 132  # bytes that say whether a file is DICOM


def check_headers(config: Config, name: str, indexes: Indexes) -> list[Finding]:
    """Return a warning where no DICOM file looked into states its Modality and the settings reject such files."""
    settings, subject = config.settings(DicomToArrowSettings, name), f"headers {name}"
    if config.is_phantom(name) or not settings.modalities or settings.modality_missing == "accept":
        return []
    try:
        files = indexes.of(name).files.filter(~pl.col("path").str.contains(RASTER))
    except InputError:
        return []  # reported with the data set
    if files.is_empty():
        return []
    try:
        # By name, because they need what an environment for `snakemake` alone lacks.
        pydicom, parsing = import_module("pydicom"), import_module("stages.common.radiographs.parsing")
    except ImportError as error:
        what = f"this environment lacks {error.name}, with which dicom_to_arrow reads them"
        return [Finding("not checked", subject, what)]
    paths = files["path"].gather_every(max(1, len(files) // _LOOKED_INTO)).head(_LOOKED_INTO)
    roots = tuple(map(Path, config.roots(name)))
    read = list(_modalities(Path(config.root(name)), paths.to_list(), roots, settings.max_file_bytes, pydicom, parsing))
    if not read or any(modality for modality, _ in read):
        return []
    lacking = "no Modality" if any(of_class for _, of_class in read) else "no Modality and no SOP class"
    what = f"{lacking} in the headers of {len(read)} of {len(files):,} DICOM files"
    remedy = f"if they are radiographs, set datasets.{name}.dicom_to_arrow.modality_missing: accept"
    return [Finding("warning", subject, f"{what}; dicom_to_arrow rejects such files as wrong_modality", remedy)]


def _modalities(
    root: Path, paths: list[str], roots: tuple[Path, ...], most_bytes: int, pydicom: Any, parsing: Any
) -> Iterator[tuple[str, str]]:
    """Yield Modality and SOP class of the DICOM files among `paths` that can be read; "" where one is not stated."""
    for relative in paths:
        try:
            data = read_under(root, relative, most_bytes, roots)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if not parsing.is_dicom(data[:_START]):
                    continue
                header = pydicom.dcmread(BytesIO(data), stop_before_pixels=True, force=True)
                if "Rows" not in header:  # damage that pydicom reads over, or no image
                    continue
                modality, of_class = parsing.text(header, "Modality"), parsing.text(header, "SOPClassUID")
                of_class = of_class or parsing.text(header.file_meta, "MediaStorageSOPClassUID")
        except RootedFileError:  # missing ones are told of with the data set
            continue
        except Exception:  # noqa: S112 - pydicom raises nearly anything on damaged files, which the stage rejects
            continue
        yield modality, of_class

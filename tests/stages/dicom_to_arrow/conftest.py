"""Files written for the tests: a small chest radiograph's header around any array of stored values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from stages.common import schemas
from stages.common.arrow_tables import write_rows
from stages.dicom_to_arrow.convert import Outcome, convert_file
from stages.dicom_to_arrow.settings import DicomToArrowSettings


def make_dataset(stored: np.ndarray, syntax: UID = ExplicitVRLittleEndian, **elements: Any) -> Dataset:
    """A DX data set with `stored` (grey or colour by pixel) as native pixel data; None as a value removes an element."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.Modality, dataset.ViewPosition = "DX", "PA"
    dataset.Rows, dataset.Columns = stored.shape[:2]
    dataset.SamplesPerPixel = stored.shape[2] if stored.ndim == 3 else 1
    if stored.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if stored.ndim == 3 else "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * stored.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    order = "<" if syntax.is_little_endian else ">"
    data = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if stored.itemsize > 1 else "OB"
    for keyword, value in elements.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def make_compressed(stored: np.ndarray, frame: bytes, syntax: UID, **elements: Any) -> Dataset:
    """The same with the compressed `frame` as pixel data."""
    dataset = make_dataset(stored, **elements)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


@pytest.fixture
def ramp() -> np.ndarray:
    """48 x 64 values of 12 bits, each row and column different, from 0 to 4095."""
    rows, columns = np.mgrid[0:48, 0:64]
    values = rows * 64 + columns
    return (values * 4095 // values.max()).astype(np.uint16)


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., Outcome]:
    """Write a data set (or bytes) to a file and convert it: `convert(dataset, view="PA", **settings)`."""

    def run(content: Dataset | bytes, view: str | None = "PA", **settings: Any) -> Outcome:
        path = tmp_path / "image.dcm"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save_as(path, enforce_file_format=True)
        return convert_file(file_row("a", "image.dcm", view=view), tmp_path, DicomToArrowSettings(**settings))

    return run


def file_row(image_id: str, path: str, shard: int = 0, view: str | None = "PA") -> dict[str, Any]:
    return {
        "image_id": image_id,
        "study_id": f"study {image_id}",
        "patient_id": None,
        "dataset": "tests",
        "path": path,
        "view": view,
        "distributed_split": None,
        "shard": shard,
    }


@pytest.fixture
def write_index(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    def write(rows: list[dict[str, Any]]) -> Path:
        path = tmp_path / "files.arrow"
        write_rows(path, schemas.FILES, rows)
        return path

    return write

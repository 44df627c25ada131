"""DICOM data sets and rows of the index, as tests write them."""

from io import BytesIO
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, RLELossless

from stages.common.radiographs.display import Levels
from stages.common.radiographs.readers import read_dicom
from stages.common.radiographs.rejection import RejectionError
from stages.dicom_to_arrow.contract import DicomToArrowSettings

ANY = DicomToArrowSettings()


def make_dataset(stored: np.ndarray, syntax: UID = ExplicitVRLittleEndian, **elements: Any) -> Dataset:
    """A DX data set with `stored` (grey, or colour by pixel) as native pixel data; a value None removes an element."""
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


def rle_frame(stored: np.ndarray) -> bytes:
    """`stored` as pydicom's own encoder compresses it."""
    dataset = make_dataset(stored)
    dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return get_frame(dataset.PixelData, 0, number_of_frames=1)


def file_row(image_id: str, path: str, shard: int = 0, view: str | None = "PA") -> dict[str, Any]:
    return {
        "image_id": image_id,
        "study_id": f"study {image_id}",
        "patient_id": None,
        "dataset": "tests",
        "path": path,
        "sha256": None,
        "view": view,
        "distributed_split": None,
        "inverted": None,
        "sex": None,
        "age": None,
        "shard": shard,
    }


def file_bytes(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def grey_levels(levels: Levels) -> np.ndarray:
    """Grey levels of a whole image, 0 black to 255 white, unrounded."""
    return levels.to_grey(levels.linear())


def grey_of(content: Dataset | bytes, settings: DicomToArrowSettings = ANY) -> np.ndarray:
    """Grey levels of a data set after a round trip through a file's bytes."""
    data = content if isinstance(content, bytes) else file_bytes(content)
    return grey_levels(read_dicom(data, None, settings).levels)


def reason_of(content: Dataset | bytes, **settings: object) -> str:
    with pytest.raises(RejectionError) as caught:
        grey_of(content, DicomToArrowSettings(**settings))
    return caught.value.reason


def stretched(values: np.ndarray) -> np.ndarray:
    """What min-max should give."""
    values = values.astype(np.float64)
    return (values - values.min()) / (values.max() - values.min()) * 255


def assert_shows(content: Dataset | bytes, values: np.ndarray) -> None:
    np.testing.assert_allclose(grey_of(content), stretched(values), atol=1e-3)


def transcoded(dataset: Dataset, name: str, folder: Path) -> bytes:
    """The same image compressed by GDCM's own encoder."""
    source, target = folder / "native.dcm", folder / "compressed.dcm"
    dataset.save_as(source, enforce_file_format=True)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target.read_bytes()

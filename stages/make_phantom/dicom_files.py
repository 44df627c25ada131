"""Radiographs as DICOM files, in the two forms that the data sets use."""

import hashlib
import io
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pydicom
import pydicom.config
from jaxtyping import Float32, UInt8, UInt16
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
)

Voi = Literal["window", "windows", "lut", "none"]
_VOI: tuple[Voi, ...] = get_args(Voi)
_TOP = 4095  # greatest value of 12 bits


def uid_of(*parts: int | str) -> UID:
    """Return a valid UID that is a pure function of its parts: 2.25.<128-bit integer> (PS3.5 B.2)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


_IMPLEMENTATION = uid_of("make_phantom")


@dataclass(frozen=True)
class Identity:
    """Elements of patient, study and image. Names are empty, because the data sets are de-identified."""

    sop: UID
    series: UID
    study: UID
    patient_id: str
    age: str  # as the data set writes it
    sex: str
    date: str  # YYYYMMDD
    view: str
    spacing: float  # mm
    description: str = ""
    study_id: str = ""


@dataclass(frozen=True)
class Storage:
    """Storage of 12-bit values, and the elements that turn them into grey levels."""

    photometric: Literal["MONOCHROME2", "MONOCHROME1"]
    voi: Voi
    low: int  # stored value of black, before MONOCHROME1 inverts
    high: int  # of white
    window_share: float  # width of the window / (high - low)
    states_shape: bool  # PresentationLUTShape is present


def sample_storage(rng: np.random.Generator) -> Storage:
    """Draw how an image is stored."""
    return Storage(
        photometric="MONOCHROME1" if rng.random() < 0.2 else "MONOCHROME2",
        voi=_VOI[int(rng.choice(len(_VOI), p=[0.74, 0.10, 0.10, 0.06]))],
        low=int(rng.integers(80, 500)),
        high=int(rng.integers(2800, 3950)),
        window_share=rng.uniform(0.94, 1.08),
        states_shape=bool(rng.random() < 0.5),
    )


def stored_values(display: Float32[np.ndarray, "rows columns"], storage: Storage) -> UInt16[np.ndarray, "rows columns"]:
    """Return 12-bit values; `display` is 0 black to 1 white, and MONOCHROME1 inverts it."""
    values = np.round(storage.low + display * np.float32(storage.high - storage.low)).astype(np.uint16)
    return _TOP - values if storage.photometric == "MONOCHROME1" else values


def without_elements(content: bytes, *keywords: str) -> bytes:
    """Return a DICOM file without some elements of its header."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    for keyword in keywords:
        delattr(dataset, keyword)
    return _encoded(dataset)


def uncompressed_dicom(display: Float32[np.ndarray, "rows columns"], identity: Identity, storage: Storage) -> bytes:
    """Encode as explicit little endian, 16 bits allocated, 12 stored, as in MIMIC-CXR.

    `display` is 0 black to 1 white.
    """
    inverted, stored = storage.photometric == "MONOCHROME1", stored_values(display, storage)
    dataset = _dataset(identity, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian)
    dataset.Modality = "DX"
    dataset.StudyID = identity.study_id
    dataset.PatientOrientation = ["P", "F"] if identity.view == "LATERAL" else ["L", "F"]
    _describe_pixels(dataset, stored, 16, 12, storage.photometric)
    dataset.ImagerPixelSpacing = [f"{identity.spacing:.4f}"] * 2
    dataset.PixelIntensityRelationship = "LOG"
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    if storage.states_shape:
        dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    _add_voi(dataset, storage, inverted)
    dataset.add_new("PixelData", "OW", stored.astype("<u2").tobytes())
    return _encoded(dataset)


def jpeg_dicom(grey: UInt8[np.ndarray, "rows columns"], identity: Identity) -> bytes:
    """Encode as JPEG baseline, 8 bits, secondary capture, as in RSNA Pneumonia and SIIM-ACR Pneumothorax."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=93)
    dataset = _dataset(identity, SecondaryCaptureImageStorage, JPEGBaseline8Bit)
    dataset.Modality = "CR"
    dataset.ConversionType, dataset.PatientOrientation = "WSD", ""
    dataset.SeriesDescription = identity.description
    dataset.PatientName = identity.patient_id
    dataset.SeriesNumber, dataset.InstanceNumber = "1", "1"
    _describe_pixels(dataset, grey, 8, 8, "MONOCHROME2")
    dataset.PixelSpacing = [f"{identity.spacing:.4f}"] * 2
    dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_10918_1"
    dataset.add_new("PixelData", "OB", encapsulate([buffer.getvalue()]))
    dataset["PixelData"].is_undefined_length = True
    return _encoded(dataset)


def _dataset(identity: Identity, sop_class: UID, syntax: UID) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, identity.sop
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID, meta.ImplementationVersionName = _IMPLEMENTATION, "MLIP_PHANTOM"
    with pydicom.config.disable_value_validation():  # RSNA writes ages as "62", which AS does not allow
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, identity.sop
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = identity.study, identity.series
        dataset.StudyDate, dataset.StudyTime = identity.date, "000000.00"
        dataset.AccessionNumber = dataset.ReferringPhysicianName = dataset.StudyID = ""
        dataset.PatientName = dataset.PatientBirthDate = ""
        dataset.PatientID, dataset.PatientSex, dataset.PatientAge = identity.patient_id, identity.sex, identity.age
        dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", identity.view
    return dataset


def _describe_pixels(dataset: Dataset, pixels: np.ndarray, allocated: int, stored: int, photometric: str) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored, stored - 1
    dataset.PixelRepresentation = 0


def _add_voi(dataset: Dataset, storage: Storage, inverted: bool) -> None:
    """Add a window, two windows, or a table (PS3.3 C.11.2); all act on stored values, before MONOCHROME1 inverts."""
    if storage.voi in ("window", "windows"):
        middle = (storage.low + storage.high) / 2
        centre = _TOP - middle if inverted else middle
        width = (storage.high - storage.low) * storage.window_share
        narrower = storage.voi == "windows"
        dataset.WindowCenter = [f"{centre:.1f}", f"{centre:.1f}"] if narrower else f"{centre:.1f}"
        dataset.WindowWidth = [f"{width:.1f}", f"{0.6 * width:.1f}"] if narrower else f"{width:.1f}"
    if storage.voi == "lut":
        ramp = np.clip((np.arange(_TOP + 1) - storage.low) / (storage.high - storage.low), 0, 1)
        table = np.round(_TOP * (0.7 * ramp + 0.3 * ramp**2 * (3 - 2 * ramp))).astype("<u2")  # slightly S-shaped
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [_TOP + 1, 0, 12])
        item.add_new("LUTData", "OW", ((_TOP - table[::-1]) if inverted else table).astype("<u2").tobytes())
        dataset.VOILUTSequence = [item]


def _encoded(dataset: FileDataset) -> bytes:
    buffer = io.BytesIO()
    with pydicom.config.disable_value_validation():
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()

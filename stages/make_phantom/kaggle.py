"""Shared parts of the RSNA and SIIM layouts: square 8-bit JPEG images, with lung masks and patients beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import relative_runs
from .contract import Dataset, MakePhantomSettings, TruthImage
from .dicom_files import Identity, jpeg_dicom, uid_of
from .file_tree import FileDigest, csv_bytes, write_bytes
from .patients import Frontal, Study


@dataclass(frozen=True)
class Written:
    """One written image: its file, its truth, its rows of the data set's own tables, and its lung mask."""

    image_id: str
    patient_id: str
    file: FileDigest
    truth: TruthImage
    rows: list[tuple[str, ...]]
    lung_mask: str


def patient_id(dataset: Dataset, patient: int) -> str:
    """Return an id that is unique across the data sets: no patient of one is in another."""
    return f"{dataset}-{patient:06d}"


def identity_of(settings: MakePhantomSettings, study: Study, frontal: Frontal, name: str) -> Identity:
    """Return the DICOM identity of an image.

    `name` is the id that the file states as PatientID: one per image, as distributed.
    """
    return Identity(
        sop=uid_of(study.dataset, settings.seed, name),
        series=uid_of(study.dataset, settings.seed, name, "series"),
        study=uid_of(study.dataset, settings.seed, name, "study"),
        patient_id=name,
        age=str(study.age),
        sex="F" if study.anatomy.female else "M",
        date="19010101",
        view=study.view,
        spacing=study.anatomy.millimetres / frontal.canvas.unit,
        description=f"view: {study.view}",
    )


def jpeg_of(frontal: Frontal, identity: Identity) -> bytes:
    """Return the image as a DICOM file of 8-bit JPEG."""
    return jpeg_dicom(np.round(frontal.radiograph.display * 255).astype(np.uint8), identity)


def write_extras(output: Path, dataset: Dataset, images: Sequence[Written]) -> list[FileDigest]:
    """Write `lung_masks.csv` and `patients.csv`, which the real data sets do not have."""
    masks = csv_bytes(("ImageId", "EncodedPixels"), [(item.image_id, item.lung_mask) for item in images])
    patients = csv_bytes(("image_id", "patient_id"), [(item.image_id, item.patient_id) for item in images])
    return [
        write_bytes(output, f"{dataset}/lung_masks.csv", masks),
        write_bytes(output, f"{dataset}/patients.csv", patients),
    ]


def lung_mask_of(frontal: Frontal) -> str:
    """Return the lung mask as SIIM run lengths."""
    return relative_runs.encode(frontal.radiograph.lungs)

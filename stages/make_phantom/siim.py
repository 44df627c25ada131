"""The layout of the SIIM-ACR Pneumothorax Segmentation challenge: one row per region, relative run lengths.

www.kaggle.com/c/siim-acr-pneumothorax-segmentation
"""

from collections.abc import Sequence
from pathlib import Path

from . import relative_runs
from .contract import MakePhantomSettings
from .file_tree import FileDigest, write_bytes
from .kaggle import Written, identity_of, jpeg_of, lung_mask_of, patient_id, write_extras
from .patients import draw_image, image_truth, sample_study


def write_image(settings: MakePhantomSettings, output: Path, patient: int, number: int) -> Written:
    """Write image `number` of a patient; each image is a study of its own. The image id is the SOP instance's UID."""
    study = sample_study(settings, "siim", patient, number)
    frontal = draw_image(settings, study, 0, settings.siim_side, settings.siim_side)
    identity = identity_of(settings, study, frontal, f"{patient_id('siim', patient)}-{number}")
    image_id = str(identity.sop)
    truth = image_truth(image_id, str(identity.study), patient_id("siim", patient), study, frontal.radiograph)
    path = f"siim/dicom-images-train/{identity.study}/{identity.series}/{image_id}.dcm"
    file = write_bytes(output, path, jpeg_of(frontal, identity))
    regions: list[tuple[str, ...]] = [
        (image_id, relative_runs.encode(mask))
        for item, mask in zip(study.findings, frontal.radiograph.masks, strict=True)
        if item.finding == "pneumothorax"
    ]
    return Written(image_id, truth.patient_id, file, truth, regions or [(image_id, "-1")], lung_mask_of(frontal))


def write_index(output: Path, images: Sequence[Written]) -> list[FileDigest]:
    """Write train-rle.csv, with the blank after each comma that the distribution has, in the header as well."""
    images = sorted(images, key=lambda item: item.image_id)
    rows = [("ImageId", "EncodedPixels")] + [row for item in images for row in item.rows]
    text = "".join(f"{image_id}, {runs}\n" for image_id, runs in rows)
    return [
        write_bytes(output, "siim/train-rle.csv", text.encode()),
        *write_extras(output, "siim", images),
    ]

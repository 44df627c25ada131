"""The layout of the RSNA Pneumonia Detection Challenge: one row per box, three classes.

Shih et al., Radiology: Artificial Intelligence 2019, doi:10.1148/ryai.2019180041.
"""

import uuid
from collections.abc import Sequence
from pathlib import Path

from ..common.digests import seed_from
from .contract import MakePhantomSettings, TruthImage
from .file_tree import FileDigest, csv_bytes, write_bytes
from .kaggle import Written, identity_of, jpeg_of, lung_mask_of, patient_id, write_extras
from .patients import draw_image, image_truth, sample_study


def write_image(settings: MakePhantomSettings, output: Path, patient: int, number: int) -> Written:
    """Write image `number` of a patient; each image is a study of its own."""
    study = sample_study(settings, "rsna", patient, number)
    frontal = draw_image(settings, study, 0, settings.rsna_side, settings.rsna_side)
    seeds = [seed_from("rsna", settings.seed, patient, number, half) for half in (0, 1)]
    image_id = str(uuid.UUID(int=seeds[0] << 64 | seeds[1], version=4))
    content = jpeg_of(frontal, identity_of(settings, study, frontal, image_id))
    truth = image_truth(image_id, image_id, patient_id("rsna", patient), study, frontal.radiograph)
    file = write_bytes(output, f"rsna/stage_2_train_images/{image_id}.dcm", content)
    return Written(image_id, truth.patient_id, file, truth, _boxes(truth), lung_mask_of(frontal))


def _boxes(truth: TruthImage) -> list[tuple[str, ...]]:
    """Return one row per box of lung opacity; one row with blanks where there is none."""
    boxes = [found.box for found in truth.findings if found.finding == "lung_opacity" and found.box]
    if not boxes:
        return [(truth.image_id, "", "", "", "", "0")]
    return [(truth.image_id, *(f"{side:.1f}" for side in box), "1") for box in boxes]


def class_of(truth: TruthImage) -> str:
    """Return the class of stage_2_detailed_class_info.csv. Devices alone do not make a chest abnormal."""
    found = {item.finding for item in truth.findings}
    if "lung_opacity" in found:
        return "Lung Opacity"
    return "No Lung Opacity / Not Normal" if found - {"support_device"} else "Normal"


def write_index(output: Path, images: Sequence[Written]) -> list[FileDigest]:
    """Write labels and classes, sorted by image id; as distributed, the classes repeat an image once per box."""
    images = sorted(images, key=lambda item: item.image_id)
    labels = [row for item in images for row in item.rows]
    classes = [(item.image_id, class_of(item.truth)) for item in images for _ in item.rows]
    header = ("patientId", "x", "y", "width", "height", "Target")
    return [
        write_bytes(output, "rsna/stage_2_train_labels.csv", csv_bytes(header, labels)),
        write_bytes(output, "rsna/stage_2_detailed_class_info.csv", csv_bytes(("patientId", "class"), classes)),
        *write_extras(output, "rsna", images),
    ]

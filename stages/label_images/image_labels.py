"""Labels of the converted images: ids as index_inputs wrote them, patients, masks at the original size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..common.data.identifiers import Subject, keyed, read_key
from ..common.data.index_tables import read_index, refuse_duplicates, require_values
from ..common.errors import InputError
from .contract import LabelImagesSettings
from .label_tables import (
    DistributedLabel,
    Masks,
    Region,
    boxes_beyond_the_edge,
    read_labels,
    read_run_lengths,
)

Identify = Callable[[str, Subject], str]


@dataclass(frozen=True)
class ImageLabels:
    """Rows of LABELS without split and subset, in the order of the images, and what could not be matched."""

    rows: list[dict[str, Any]]
    licenses: list[str]
    labels_without_image: list[str]
    images_without_label: list[str]
    lung_masks_without_image: list[str]
    boxes_beyond_the_edge: int  # they begin inside the image; the part outside does not count
    masks_of_overlapping_regions: int  # their union is taken


def label_images(images: pa.Table, root: Path, settings: LabelImagesSettings, private: Path | None) -> ImageLabels:
    """Read the tables of `root` and join them with the images (columns as in `join_labels`).

    Ids are compared as index_inputs wrote them. Raises InputError where no image has a label.
    """
    identify = identifying(settings, private)
    labels = {identify(name, "image"): label for name, label in read_labels(root, settings).items()}
    lungs = {} if settings.lung_masks is None else read_run_lengths(root, settings.lung_masks)[1]
    lungs = {identify(name, "image"): regions for name, regions in lungs.items()}
    joined = join_labels(images, labels, lungs, settings, root)
    if not joined.rows:
        raise InputError(
            f"{root}: none of {images.num_rows} images has a label", remedy="set `identifiers` as in index_inputs"
        )
    if settings.patients is None:
        return joined
    return replace(joined, rows=with_patients(joined.rows, root, settings.patients, identify))


def identifying(settings: LabelImagesSettings, private: Path | None) -> Identify:
    """Return the function from a distributed id to the id that index_inputs wrote."""
    if settings.identifier_kind == "distributed":
        return lambda identifier, _subject: identifier
    key = read_key(private)
    return lambda identifier, subject: keyed(identifier, subject, key)


def join_labels(
    images: pa.Table,
    labels: Mapping[str, DistributedLabel],
    lung_regions: Mapping[str, tuple[Region, ...]],
    settings: LabelImagesSettings,
    root: Path,
) -> ImageLabels:
    """Join every image with its label; both mappings are by image id, as index_inputs wrote it.

    `images` has image_id, patient_id, original_rows and original_columns. Raises InputError where a mask or a box
    leaves its image.
    """
    masks = Masks(root, settings)
    rows, without_label, beyond = [], [], 0
    for image in images.to_pylist():
        label = labels.get(image["image_id"])
        if label is None:
            without_label.append(image["image_id"])
            continue
        beyond += boxes_beyond_the_edge(image, label, masks.source)
        rows.append(
            {
                "image_id": image["image_id"],
                "patient_id": image["patient_id"],
                "finding": settings.finding,
                "target": label.target,
                "boxes": [list(box[1:]) for box in label.boxes],
                "mask": masks.mask_of(image, label),
                "lung_mask": masks.lungs_of(image, label, lung_regions.get(image["image_id"], ())),
            }
        )
    known = set(images["image_id"].to_pylist())
    without_image = sorted(labels.keys() - known)
    assert len(rows) + len(without_label) == images.num_rows
    assert len(rows) + len(without_image) == len(labels)
    licenses = [label.license for name, label in labels.items() if name in known and label.license is not None]
    unknown_lungs = sorted(lung_regions.keys() - known)
    return ImageLabels(rows, licenses, without_image, without_label, unknown_lungs, beyond, masks.overlapping)


def with_patients(rows: list[dict[str, Any]], root: Path, name: str, identify: Identify) -> list[dict[str, Any]]:
    """Add the patients of a CSV of image_id and patient_id. Raises InputError where it contradicts the index."""
    source = root / name
    table = read_index(root, name, ["image_id", "patient_id"])
    require_values(table, source, ["image_id", "patient_id"])
    refuse_duplicates(table, source, "image_id")
    pairs = table.select("image_id", "patient_id").iter_rows()
    patients = {identify(image, "image"): identify(patient, "patient") for image, patient in pairs}
    for row in rows:
        patient = patients.get(row["image_id"])
        if patient is None:
            raise InputError(
                f"{source}: no patient for image {row['image_id']}", remedy="add it, or set `patients` to null"
            )
        if row["patient_id"] not in (None, patient):
            raise InputError(
                f"{source}: image {row['image_id']} has another patient in index_inputs",
                remedy="use the same table of patients in both",
            )
    return [row | {"patient_id": patients[row["image_id"]]} for row in rows]

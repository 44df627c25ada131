"""Labels of the images that were converted: carried ids, patients, masks at the original size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool
from PIL import Image

from stages.common.errors import InputError
from stages.common.identifiers import Subject, keyed, read_key
from stages.common.index_tables import read_index, refuse_duplicates, require_values
from stages.common.run_lengths import encode
from stages.label_images.label_tables import DistributedLabel, read_labels, read_run_lengths
from stages.label_images.settings import LabelImagesSettings
from stages.label_images.siim_run_lengths import merge_siim

Identify = Callable[[str, Subject], str]


@dataclass(frozen=True)
class ImageLabels:
    """rows: LABELS without split and subset, in the order of the images; the rest is what found no partner."""

    rows: list[dict[str, Any]]
    licenses: list[str]
    labels_without_image: list[str]
    images_without_label: list[str]
    lung_masks_without_image: list[str]
    boxes_beyond_the_edge: int


def label_images(images: pa.Table, root: Path, settings: LabelImagesSettings, private: Path | None) -> ImageLabels:
    """Read the tables of `root` and join them with the images (columns as in `join_labels`) by carried id."""
    identify = identifying(settings, private)
    labels = {identify(name, "image"): label for name, label in read_labels(root, settings).items()}
    lungs = {} if settings.lung_masks is None else read_run_lengths(root, settings.lung_masks)
    lungs = {identify(name, "image"): texts for name, texts in lungs.items()}
    joined = join_labels(images, labels, lungs, settings.finding, root)
    if not joined.rows:
        raise InputError(f"{root}: none of {images.num_rows} images has a label; are `identifiers` as in index_inputs?")
    if settings.patients is None:
        return joined
    return replace(joined, rows=with_patients(joined.rows, root, settings.patients, identify))


def identifying(settings: LabelImagesSettings, private: Path | None) -> Identify:
    """The function from a distributed id to the id that index_inputs carried."""
    if settings.identifier_kind == "distributed":
        return lambda identifier, _subject: identifier
    key = read_key(private)
    return lambda identifier, subject: keyed(identifier, subject, key)


def join_labels(
    images: pa.Table,
    labels: Mapping[str, DistributedLabel],
    lung_run_lengths: Mapping[str, tuple[str, ...]],
    finding: str,
    root: Path,
) -> ImageLabels:
    """Every image with its label; both mappings are by carried image id.

    images: image_id, patient_id, original_rows, original_columns. Raises InputError where a mask leaves its image.
    """
    rows, without_label, beyond = [], [], 0
    for image in images.to_pylist():
        label = labels.get(image["image_id"])
        if label is None:
            without_label.append(image["image_id"])
            continue
        rows.append(_row(image, label, lung_run_lengths.get(image["image_id"], ()), finding, root))
        size = image["original_columns"], image["original_rows"]
        beyond += sum(x + width > size[0] or y + height > size[1] for x, y, width, height in label.boxes)
    known = set(images["image_id"].to_pylist())
    without_image = sorted(labels.keys() - known)
    assert len(rows) + len(without_label) == images.num_rows
    assert len(rows) + len(without_image) == len(labels)
    licenses = [label.license for name, label in labels.items() if name in known and label.license is not None]
    return ImageLabels(rows, licenses, without_image, without_label, sorted(lung_run_lengths.keys() - known), beyond)


def with_patients(rows: list[dict[str, Any]], root: Path, name: str, identify: Identify) -> list[dict[str, Any]]:
    """The rows with the patients of a CSV of image_id and patient_id, which must not contradict those of the index."""
    source = root / name
    table = read_index(root, name, ["image_id", "patient_id"])
    require_values(table, source, ["image_id", "patient_id"])
    refuse_duplicates(table, source, "image_id")
    pairs = table.select("image_id", "patient_id").iter_rows()
    patients = {identify(image, "image"): identify(patient, "patient") for image, patient in pairs}
    for row in rows:
        patient = patients.get(row["image_id"])
        if patient is None:
            raise InputError(f"{source}: no patient for image {row['image_id']}; add it, or set `patients` to null")
        if row["patient_id"] not in (None, patient):
            raise InputError(f"{source}: image {row['image_id']} has another patient in index_inputs; use one table")
    return [row | {"patient_id": patients[row["image_id"]]} for row in rows]


def _row(
    image: Mapping[str, Any], label: DistributedLabel, lung_texts: tuple[str, ...], finding: str, root: Path
) -> dict[str, Any]:
    return {
        "image_id": image["image_id"],
        "patient_id": image["patient_id"],
        "finding": finding,
        "target": label.target,
        "boxes": [list(box) for box in label.boxes],
        "mask": _run_lengths(image, label.run_lengths, label.mask_file, "mask", root),
        "lung_mask": _run_lengths(image, lung_texts, label.lung_mask_file, "lung mask", root),
    }


def _run_lengths(
    image: Mapping[str, Any], texts: tuple[str, ...], file: str | None, what: str, root: Path
) -> list[int] | None:
    """Row-major run lengths at the original size, or None where there is no mask."""
    rows, columns = image["original_rows"], image["original_columns"]
    try:
        if texts:
            return encode(merge_siim(texts, rows, columns))
        return None if file is None else encode(_read_png(root / file, rows, columns))
    except ValueError as error:
        raise InputError(f"{what} of image {image['image_id']}: {error}; get or draw it again") from None


def _read_png(path: Path, rows: int, columns: int) -> Bool[np.ndarray, "rows columns"]:
    """Not 0 is inside. Raises ValueError, which names no file: names may identify people."""
    try:
        with Image.open(path) as picture:
            mask = np.asarray(picture.convert("L")) > 0
    except OSError:
        raise ValueError("its file is missing or no picture") from None
    if mask.shape != (rows, columns):
        raise ValueError(f"{mask.shape[0]} x {mask.shape[1]} pixels, but the image has {rows} x {columns}")
    return mask

"""Whether test images are strangers to everything that was trained or chosen with: counted, and refused if not.

Lists that circulate for SIIM split rows, not images: 494 of 1,904 test images are in train. Here such a split stops.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from stages.common.errors import InputError

_MEANING = {
    "images_in_several_parts": "image ids stand in more than one row",
    "patients_in_several_parts": "patients are in more than one of train, validation and test",
    "copies_in_several_parts": "images have a copy in another part (dicom_to_arrow/duplicates.arrow)",
    "test_copies_in_pretraining": "test images have a copy that pre-training saw (dicom_to_arrow/duplicates.arrow)",
    "test_patients_in_pretraining": "test patients were seen by pre-training",
}


@dataclass(frozen=True)
class Overlap:
    """Numbers of image ids, patients, images, test images and test patients; all 0 in a clean split."""

    images_in_several_parts: int
    patients_in_several_parts: int
    copies_in_several_parts: int
    test_copies_in_pretraining: int
    test_patients_in_pretraining: int


def find_overlap(
    labels: pl.DataFrame, copies: pl.DataFrame, pairs: pl.DataFrame, dataset: str, pretrain_on: str
) -> Overlap:
    """Count what connects the parts of `labels` (LABELS, one finding) with each other and with pre-training.

    copies: DUPLICATES of all data sets. pairs: PAIRS of `pretrain_on`; its training pairs made the weights and its
    validation pairs chose the checkpoint. Patients of two data sets are compared only where both are the same one:
    elsewhere equal ids mean nothing.
    """
    seen = pairs.filter(pl.col("split") != "test")
    group = ["kind", "value"]
    own = copies.filter(pl.col("dataset") == dataset).join(labels.select("image_id", "split"), on="image_id")
    straddling = own.group_by(group).agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
    trained = copies.filter(pl.col("dataset") == pretrain_on).join(seen, on="image_id", how="semi")
    test = own.filter(pl.col("split") == "test")
    copied = set(test.join(trained, on=group, how="semi")["image_id"])
    known_patients: set[str] = set()
    if dataset == pretrain_on:
        test_labels = labels.filter(pl.col("split") == "test")
        copied |= set(test_labels.join(seen, on="image_id", how="semi")["image_id"])
        known_patients = set(test_labels["patient_id"]) & set(seen["patient_id"])
    patients = labels.drop_nulls("patient_id").group_by("patient_id").agg(pl.col("split").n_unique())
    return Overlap(
        images_in_several_parts=int(labels["image_id"].is_duplicated().sum()),
        patients_in_several_parts=patients.filter(pl.col("split") > 1).height,
        copies_in_several_parts=own.join(straddling, on=group, how="semi")["image_id"].n_unique(),
        test_copies_in_pretraining=len(copied),
        test_patients_in_pretraining=len(known_patients),
    )


def refuse_overlap(overlap: Overlap, labels: Path, allowed: bool) -> None:
    """An InputError with the first kind of overlap, unless it is allowed."""
    for kind, count in asdict(overlap).items():
        if count and not allowed:
            raise InputError(
                f"{labels}: {count} {_MEANING[kind]}; correct the split in label_images, or set "
                "`few_shot_classification.allow_overlap: true`: the number then stands in every result"
            )

"""What could leak from one split into another, refused or counted, and the fingerprint of the pairs."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from stages.common.digests import digest_of
from stages.common.errors import InputError
from stages.pair_images_reports.pairing import DUPLICATE_PIXELS, WITHOUT_IMAGE, WITHOUT_REPORT, Pairing

SPLITS = ("train", "validation", "test")


def refuse_shared_patients(pairs: pl.DataFrame) -> None:
    """A patient, or a report, in more than one split is an InputError: every figure after it would be wrong."""
    for column, cause in (
        ("patient_id", "the distributed split divides it"),
        ("study_id", "its images have different patients"),
    ):
        splits = pairs.group_by(column).agg(pl.col("split").unique().sort()).filter(pl.col("split").list.len() > 1)
        if len(splits):
            name, parts = splits.sort(column).row(0)
            raise InputError(
                f"{column} {name} is in {' and '.join(parts)} ({len(splits)} such): {cause}; "
                "correct the index, or set patient_split.use_distributed to false"
            )


def audit(images: pl.DataFrame, reports: pl.DataFrame, before: Pairing, after: Pairing) -> dict[str, Any]:
    """The record of the pairing: counts that reconcile, what recurs across splits, fingerprint.

    images and reports: the inputs of `pair`, reports with the column text; `before` and `after` the removal of
    duplicate pixels. Raises InputError where no pair is left for training.
    """
    pairs = after.pairs
    if not (pairs["split"] == "train").any():
        raise InputError("no pair is left for training: lower patient_split.validation and .test, or see the rejects")
    rejects = {reason: _count(after.rejects, reason) for reason in (WITHOUT_REPORT, WITHOUT_IMAGE, DUPLICATE_PIXELS)}
    paired_reports = before.pairs["study_id"].n_unique()
    assert len(images) == len(pairs) + rejects[WITHOUT_REPORT] + rejects[DUPLICATE_PIXELS]
    assert len(reports) == paired_reports + rejects[WITHOUT_IMAGE]
    images_a_study = pairs.group_by("study_id").len()["len"]
    return {
        "dataset": images["dataset"][0],
        "images": len(images),
        "reports": len(reports),
        "pairs": len(pairs),
        "rejects": rejects,
        "split_by": "patient",
        "images_with_distributed_split": len(images) - images["distributed_split"].null_count(),
        "splits": {split: _counts(pairs.filter(pl.col("split") == split)) for split in SPLITS},
        "studies_with_several_images": {
            "count": int((images_a_study > 1).sum()),
            "share": float((images_a_study > 1).mean()),
            "most_images": int(images_a_study.max()),
        },
        "patients_in_several_splits": 0,  # refuse_shared_patients saw to it
        "pixels_in_several_splits": _in_several_splits(before.pairs, "pixels_sha256"),
        "report_texts_in_several_splits": _recurring_texts(pairs, reports),
        "fingerprint": digest_of(pairs.select("image_id", "study_id", "patient_id", "split").rows()),
    }


def audit_metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """The record's counts, for the journal."""
    totals = {key: record[key] for key in ("images", "reports", "pairs", "pixels_in_several_splits")}
    rejects = {f"rejects/{reason}": count for reason, count in record["rejects"].items()}
    splits = {f"{part}/{key}": count for part, counts in record["splits"].items() for key, count in counts.items()}
    return {key: float(count) for key, count in (totals | rejects | splits).items()}


def _counts(pairs: pl.DataFrame) -> dict[str, int]:
    return {
        "pairs": len(pairs),
        "studies": pairs["study_id"].n_unique(),
        "patients": pairs["patient_id"].n_unique(),
        "copies_of_pixels": len(pairs) - pairs["pixels_sha256"].n_unique(),
    }


def _count(rejects: pl.DataFrame, reason: str) -> int:
    return int((rejects["reason"] == reason).sum())


def _in_several_splits(pairs: pl.DataFrame, column: str) -> int:
    return int((pairs.group_by(column).agg(pl.col("split").n_unique())["split"] > 1).sum())


def _recurring_texts(pairs: pl.DataFrame, reports: pl.DataFrame) -> dict[str, Any]:
    """Different patients may have word for word the same report ("No acute disease."); it is counted, not removed."""
    studies = pairs.select("study_id", "split").unique().join(reports, on="study_id")
    trained = studies.filter(pl.col("split") == "train")["text"].unique().implode()
    also_in_train = studies.filter(pl.col("text").is_in(trained))
    return {
        "texts": _in_several_splits(studies, "text"),
        "reports_also_in_train": {split: _share(also_in_train, split) for split in SPLITS[1:]},
    }


def _share(studies: pl.DataFrame, split: str) -> int:
    return int((studies["split"] == split).sum())

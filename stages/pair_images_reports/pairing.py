"""Join of images and reports by study; train, validation and test by patient."""

from dataclasses import dataclass

import polars as pl

from stages.common.errors import InputError
from stages.common.patient_split import PatientSplit, split_of

WITHOUT_REPORT = "image_without_report"
WITHOUT_IMAGE = "report_without_image"
DUPLICATE_PIXELS = "duplicate_pixels_across_splits"

_MESSAGES = {
    WITHOUT_REPORT: "no sentence of a report has this image's study",
    WITHOUT_IMAGE: "no converted image has this report's study",
    DUPLICATE_PIXELS: "the same pixels are in a split that comes first (train, validation, test)",
}


@dataclass(frozen=True)
class Pairing:
    """pairs: image_id, study_id, patient_id, split, pixels_sha256, in the order of the images; rejects: REJECTS."""

    pairs: pl.DataFrame
    rejects: pl.DataFrame


def pair(images: pl.DataFrame, reports: pl.DataFrame, settings: PatientSplit) -> Pairing:
    """One row per image and its study's report; what has no partner becomes a reject.

    images: image_id, study_id, patient_id, dataset, pixels_sha256, distributed_split. reports: study_id.
    """
    if images.is_empty():
        raise InputError("no image was converted, so there is nothing to pair; see the rejects of dicom_to_arrow")
    unknown = images.filter(pl.col("patient_id").is_null())["image_id"]
    if len(unknown):
        raise InputError(f"image {unknown[0]} has no patient_id ({len(unknown)} such): pairs are split by patient")
    has_report = pl.col("study_id").is_in(reports["study_id"].implode())
    alone = images.filter(~has_report)
    orphans = reports.join(images, on="study_id", how="anti", maintain_order="left")
    dataset = images["dataset"][0]
    rejects = [
        _rejects(dataset, alone["image_id"], WITHOUT_REPORT),
        _rejects(dataset, orphans["study_id"], WITHOUT_IMAGE),
    ]
    pairs = _with_split(images.filter(has_report), settings)
    assert len(pairs) + len(alone) == len(images)
    return Pairing(pairs, pl.concat(rejects))


def drop_duplicate_pixels(pairing: Pairing, dataset: str) -> Pairing:
    """Where equal pixels are in several splits, keep those of the first (train, validation, test); reject the rest."""
    place = pl.col("split").replace_strict({"train": 0, "validation": 1, "test": 2}, return_dtype=pl.Int8)
    first = place == place.min().over("pixels_sha256")
    dropped = pairing.pairs.filter(~first)
    rejects = pl.concat([pairing.rejects, _rejects(dataset, dropped["image_id"], DUPLICATE_PIXELS)])
    return Pairing(pairing.pairs.filter(first), rejects)


def _with_split(images: pl.DataFrame, settings: PatientSplit) -> pl.DataFrame:
    people = images.select("patient_id", "distributed_split").unique(maintain_order=True)
    splits = [split_of(patient, settings, distributed) for patient, distributed in people.iter_rows()]
    people = people.with_columns(pl.Series("split", splits, dtype=pl.String))
    pairs = images.join(
        people, on=["patient_id", "distributed_split"], how="left", nulls_equal=True, maintain_order="left"
    )
    return pairs.select("image_id", "study_id", "patient_id", "split", "pixels_sha256")


def _rejects(dataset: str, source_ids: pl.Series, reason: str) -> pl.DataFrame:
    return pl.DataFrame({"source_id": source_ids}, schema={"source_id": pl.String}).select(
        pl.lit(dataset).alias("dataset"),
        "source_id",
        pl.lit(reason).alias("reason"),
        pl.lit(_MESSAGES[reason]).alias("message"),
    )

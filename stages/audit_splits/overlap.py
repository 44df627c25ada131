"""Overlap of test images with everything that was trained or chosen with: counted, and refused unless allowed.

Lists that circulate for SIIM split rows, not images: 494 of 1,904 test images are in train. Such a split is refused.
"""

from pathlib import Path

import polars as pl

from ..common.data.manifest import Manifest
from ..common.errors import InputError
from ..common.files.arrow_tables import read_table
from ..common.files.atomic_files import verify
from ..common.files.schemas import DUPLICATES, LABELS, PAIRS
from ..common.journal.tracking import track_job
from ..common.records import Overlap, read_record, write_record
from .contract import AuditSplitsJob, Compared, SplitAudit

_MEANING = {
    "images_in_several_parts": "images are in more than one of train, validation and test",
    "patients_in_several_parts": "patients are in more than one of train, validation and test",
    "copies_in_several_parts": "images have a copy in another part (dicom_to_arrow/duplicates.arrow)",
    "test_copies_in_pretraining": "test images have a copy that pre-training saw (dicom_to_arrow/duplicates.arrow)",
    "test_patients_in_pretraining": "test patients were seen by pre-training",
}


def audit(job: AuditSplitsJob) -> None:
    """Count the overlap, refuse it unless it is allowed, and write the verdict."""
    settings = job.settings
    with track_job(job) as run:
        tables = ((job.labels, LABELS), (job.duplicates, DUPLICATES), (job.pairs, PAIRS))
        rows, copies, pairs = (pl.DataFrame(read_table(path, schema)) for path, schema in tables)
        labels = rows.select("image_id", "patient_id", "split").unique(maintain_order=True)  # whatever the findings
        overlap = find_overlap(labels, copies, pairs, job.dataset, job.pretrain_on, settings.same_patients)
        run.log_metrics({f"overlap/{kind}": count for kind, count in overlap})
        run.pictures.bars("overlap.svg", {"overlap of test with what was trained or chosen with": dict(overlap)})
        if not settings.allow_overlap:
            refuse_overlap(overlap, job.labels, job.dataset)
        compared = Compared(
            images=len(labels),
            patients_within=labels["patient_id"].null_count() == 0,
            patients_with_pretraining=job.dataset == job.pretrain_on or settings.same_patients,
            pictures_with_pretraining=all(_all_have_digests(path) for path in (job.images, job.pretrain_images)),
        )
        write_record(job.audit, SplitAudit(labels_sha256=verify(job.labels), compared=compared, overlap=overlap))


def _all_have_digests(manifest: Path) -> bool:
    """Return whether every image has a digest of its picture; JPEG 2000 decoded at reduced size has none."""
    record = read_record(manifest, Manifest)
    return record.pictures == record.images


def find_overlap(labels: pl.DataFrame, copies: pl.DataFrame, pairs: pl.DataFrame, dataset: str, pretrain_on: str,
                 same_patients: bool = False) -> Overlap:  # fmt: skip
    """Count what connects the parts of `labels` (images, each once a part) with each other and with pre-training.

    `copies` is DUPLICATES of all data sets, `pairs` is PAIRS of `pretrain_on`: its training pairs made the weights and
    its validation pairs chose the checkpoint. Patients are compared with those of pre-training only where both data
    sets are the same one, or `same_patients` says that one id means one person in both; otherwise equal ids mean
    nothing.
    """
    seen = pairs.filter(pl.col("split") != "test")
    group = ["kind", "value"]
    own = copies.filter(pl.col("dataset") == dataset).join(labels.select("image_id", "split"), on="image_id")
    straddling = own.group_by(group).agg(pl.col("split").n_unique(), pl.col("image_id").n_unique().alias("images"))
    straddling = straddling.filter((pl.col("split") > 1) & (pl.col("images") > 1))
    trained = copies.filter(pl.col("dataset") == pretrain_on).join(seen, on="image_id", how="semi")
    test = own.filter(pl.col("split") == "test")
    copied = set(test.join(trained, on=group, how="semi")["image_id"])
    test_labels = labels.filter(pl.col("split") == "test")
    if dataset == pretrain_on:
        copied |= set(test_labels.join(seen, on="image_id", how="semi")["image_id"])
    known_patients: set[str] = set()
    if dataset == pretrain_on or same_patients:
        known_patients = set(test_labels["patient_id"].drop_nulls()) & set(seen["patient_id"])
    return Overlap(
        images_in_several_parts=_in_several_parts(labels, "image_id"),
        patients_in_several_parts=_in_several_parts(labels.drop_nulls("patient_id"), "patient_id"),
        copies_in_several_parts=own.join(straddling, on=group, how="semi")["image_id"].n_unique(),
        test_copies_in_pretraining=len(copied),
        test_patients_in_pretraining=len(known_patients),
    )


def _in_several_parts(labels: pl.DataFrame, unit: str) -> int:
    parts = labels.group_by(unit).agg(pl.col("split").n_unique())
    return parts.filter(pl.col("split") > 1).height


def refuse_overlap(overlap: Overlap, labels: Path, dataset: str) -> None:
    """Raise an InputError that names every kind of overlap, in one line."""
    found = [f"{count} {_MEANING[kind]}" for kind, count in overlap.found.items()]
    if found:
        seen = overlap.test_patients_in_pretraining
        shared = (
            f" (`datasets.{dataset}.label_images.patient_split: {{}}` follows that of pre-training)" if seen else ""
        )
        raise InputError(
            f"{labels}: {'; '.join(found)}. Correct the split in label_images{shared}, or set "
            f"`datasets.{dataset}.audit_splits.allow_overlap: true`: every result then records the counts"
        )

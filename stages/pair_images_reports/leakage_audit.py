"""Leakage between splits, refused or counted, and the digest of the pairs."""

import polars as pl

from ..common.data.patient_split import PatientSplit
from ..common.digests import digest_of
from ..common.errors import InputError
from .contract import Audit, PairSplit, Part, RecurringTexts, SeveralImages
from .pairing import DUPLICATE_PIXELS, OTHER_IMAGE, WITHOUT_IMAGE, WITHOUT_REPORT, Pairing

SPLITS: tuple[Part, ...] = ("train", "validation", "test")


def refuse_shared_patients(pairs: pl.DataFrame) -> None:
    """Raise an InputError where a patient or a report is in more than one split: every later figure would be wrong.

    The message names the id as the tables have it: as distributed, or keyed where `identifiers` is keyed.
    """
    for column, cause in (
        ("patient_id", "the distributed split divides it, or names only some of its images"),
        ("study_id", "its images have different patients"),
    ):
        splits = pairs.group_by(column).agg(pl.col("split").unique().sort()).filter(pl.col("split").list.len() > 1)
        if len(splits):
            name, parts = splits.sort(column).row(0)
            raise InputError(
                f"{column} {name} is in {' and '.join(parts)} ({len(splits)} such): {cause}",
                remedy="correct the index, or set patient_split.use_distributed to false",
            )


def audit(
    images: pl.DataFrame, reports: pl.DataFrame, before: Pairing, after: Pairing, settings: PatientSplit
) -> Audit:
    """Audit the pairing: counts that reconcile, what recurs within and across splits, digest of the pairs.

    `images` and `reports` are the inputs of `pair`, reports with the column text. `before` and `after` are the pairings
    before and after the removal of duplicate pixels and of further images of a study. Raises InputError where no pair
    is left for training.
    """
    pairs = after.pairs
    if not (pairs["split"] == "train").any():
        raise InputError("no pair is left for training: lower patient_split.validation and .test, or see the rejects")
    rejects = {
        reason: int((after.rejects["reason"] == reason).sum())
        for reason in (WITHOUT_REPORT, WITHOUT_IMAGE, DUPLICATE_PIXELS, OTHER_IMAGE)
    }
    paired_reports = before.pairs["study_id"].n_unique()
    assert len(images) + rejects[WITHOUT_IMAGE] == len(pairs) + sum(rejects.values())
    assert len(reports) == paired_reports + rejects[WITHOUT_IMAGE]
    images_a_study = pairs.group_by("study_id").len()["len"].to_numpy()
    texts = pairs.select("study_id", "split").unique().join(reports, on="study_id")
    return Audit(
        dataset=after.dataset,
        images=len(images),
        reports=len(reports),
        pairs=len(pairs),
        rejects=rejects,
        split_by=_split_by(before.pairs, settings),
        images_with_distributed_split=len(images) - images["distributed_split"].null_count(),
        splits={split: _counts(pairs, texts, split) for split in SPLITS},
        studies_with_several_images=SeveralImages(
            count=int((images_a_study > 1).sum()),
            share=float((images_a_study > 1).mean()),
            most_images=int(images_a_study.max()),
        ),
        patients_in_several_splits=0,  # refuse_shared_patients has checked it
        pixels_in_several_splits=_several(before.pairs, "pixels_sha256", "split"),
        pixels_of_several_patients=_several(before.pairs, "pixels_sha256", "patient_id"),
        report_texts_in_several_splits=_recurring_texts(texts),
        pairs_digest=digest_of(pairs.select("image_id", "study_id", "patient_id", "split").rows()),
    )


def audit_metrics(record: Audit) -> dict[str, int]:
    """Return the counts under the names that the journal uses."""
    keys = ("images", "reports", "pairs", "pixels_in_several_splits", "pixels_of_several_patients")
    totals = {key: getattr(record, key) for key in keys}
    rejects = {f"rejects/{reason}": count for reason, count in record.rejects.items()}
    splits = {f"{part}/{key}": count for part, counts in record.splits.items() for key, count in counts}
    return totals | rejects | splits


def _split_by(pairs: pl.DataFrame, settings: PatientSplit) -> str:
    unknown = pairs["distributed_split"].null_count()
    if not settings.use_distributed or unknown == len(pairs):
        return "patient"
    return "patient, as distributed" if not unknown else "patient, as distributed where it says"


def _counts(pairs: pl.DataFrame, texts: pl.DataFrame, split: str) -> PairSplit:
    pairs, texts = (table.filter(pl.col("split") == split) for table in (pairs, texts))
    return PairSplit(
        pairs=len(pairs),
        studies=pairs["study_id"].n_unique(),
        patients=pairs["patient_id"].n_unique(),
        copies_of_pixels=len(pairs) - pairs["pixels_sha256"].n_unique(),
        copies_of_text=len(texts) - texts["text"].n_unique(),
    )


def _several(rows: pl.DataFrame, column: str, others: str) -> int:
    """Return the number of values of `column` that occur with more than one of `others`."""
    return int((rows.group_by(column).agg(pl.col(others).n_unique())[others] > 1).sum())


def _recurring_texts(texts: pl.DataFrame) -> RecurringTexts:
    """Count report texts that recur across splits, without removing them.

    Different patients may have word for word the same report ("No acute disease.").
    """
    trained = texts.filter(pl.col("split") == "train")["text"].unique().implode()
    also_in_train = texts.filter(pl.col("text").is_in(trained))["split"]
    return RecurringTexts(
        texts=_several(texts, "text", "split"),
        reports_also_in_train={split: int((also_in_train == split).sum()) for split in SPLITS[1:]},
    )

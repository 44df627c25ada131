"""Labels of one data set and their card, from its images and the distributed tables."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common.data.identifiers import ids_to_split_by
from ..common.data.image_store import ImageStore
from ..common.errors import InputError
from ..common.files import schemas
from ..common.files.archives import keep_indexes_in
from ..common.files.arrow_tables import read_table, write_rows
from ..common.files.rooted_files import check_folders
from ..common.journal.tracking import track_job
from ..common.records import write_record
from .contract import LabelImagesJob, LabelImagesSettings
from .data_card import card_bars, card_metrics, data_card, remainders
from .image_labels import ImageLabels, label_images
from .label_split import (
    ListedSplit,
    UnitOf,
    follow_lists,
    follow_pretraining,
    refuse_one_target,
    with_splits,
    with_subsets,
)
from .label_tables import present_label_files


def write_labels(job: LabelImagesJob) -> None:
    """Label and split the images of one data set, and warn about ids without a counterpart."""
    settings = job.settings
    keep_indexes_in(job.private)
    present = present_label_files(job.root, settings)
    check_folders(job.root, job.roots, job.private)
    with track_job(job, more={name: path for name, path in present.items() if path.is_file()}) as run:
        images = ImageStore(job.images).table
        labels = label_images(images, job.root, settings, job.private, job.roots)
        # of the index: its map does not have the patients of a table `patients` that only labels use
        ids = [each for column in ("image_id", "patient_id") for each in images[column].to_pylist()]
        unit_of = ids_to_split_by(job.private, job.dataset, ids)
        rows, listed = split_rows(labels, job.root, settings, job.private, _distributed_split(job), unit_of)
        pixels = dict(zip(images["image_id"].to_pylist(), images["pixels_sha256"].to_pylist(), strict=True))
        card = data_card(job.dataset, settings, labels, rows, pixels, listed, _rejected(job))
        phrases = phrase_rows(labels, rows)
        if phrases and all(row["split"] != "test" for row in phrases):
            labels.warnings.append(f"none of {len(phrases)} phrases is in the test part, so none is pointed at")
        for line in labels.warnings:
            print(f"warning: {line}", file=sys.stderr)
        for line in remainders(card, settings.main_table(job.root), labels.table_rows):
            print(f"warning: {line}; see {job.card}", file=sys.stderr)
        write_rows(job.labels, schemas.LABELS, rows)
        write_rows(job.phrases, schemas.PHRASES, phrases)
        write_record(job.card, card)
        run.log_metrics(card_metrics(card))
        run.log_tag("split_by", card.split_by)
        run.pictures.bars("splits.svg", card_bars(card))


def split_rows(
    labels: ImageLabels,
    root: Path,
    settings: LabelImagesSettings,
    private: Path | None,
    distributed: Mapping[str, str | None],
    unit_of: UnitOf = str,
) -> tuple[list[dict[str, Any]], ListedSplit | None]:
    """Return the rows with split and subset, and what lists left out: by lists, as pre-training, or by hash.

    `distributed` maps image_id to the distribution's own split, for data sets that follow pre-training; `unit_of` is of
    `ids_to_split_by`. Raises InputError where a part would have no positives or no negatives.
    """
    if settings.split_lists is not None:
        listed = follow_lists(labels, root, settings, private, unit_of)
        return with_subsets(listed.rows, settings, unit_of), listed
    if settings.patient_split is None:
        return with_splits(labels.rows, settings, unit_of), None
    rows = follow_pretraining(labels.rows, distributed, settings.patient_split, unit_of)
    remedy = "raise the shares of `patient_split`, which pre-training follows, too, or give `split_lists`"
    if not settings.has_phrases or any(not row["target"] for row in rows):  # phrases alone are of what is present
        refuse_one_target(rows, f"labels in {root}", remedy)
    return with_subsets(rows, settings, unit_of), None


def phrase_rows(labels: ImageLabels, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of PHRASES, in the order of `rows`, which are complete rows of LABELS."""
    columns = ("image_id", "patient_id", "finding", "split")
    return [
        {column: row[column] for column in columns} | {"phrase": phrase, "boxes": boxes}
        for row in rows
        for phrase, boxes in labels.phrases.get((row["image_id"], row["finding"]), {}).items()
    ]


def _rejected(job: LabelImagesJob) -> dict[str, str] | None:
    """Return image_id -> reason of the images that dicom_to_arrow rejected, or None where its table is not given."""
    if job.rejects is None:
        return None
    rejects = read_table(job.rejects, schemas.REJECTS)
    return dict(zip(rejects["source_id"].to_pylist(), rejects["reason"].to_pylist(), strict=True))


def _distributed_split(job: LabelImagesJob) -> dict[str, str | None]:
    """Return image_id -> the distribution's own split, which is needed where labels follow pre-training."""
    if job.settings.patient_split is None:
        return {}
    if job.files is None:
        raise InputError("label_images.patient_split is set: give --files, the table files.arrow of index_inputs")
    files = read_table(job.files, schemas.FILES)
    return dict(zip(files["image_id"].to_pylist(), files["distributed_split"].to_pylist(), strict=True))

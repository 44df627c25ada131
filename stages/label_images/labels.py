"""Labels of one data set and their card, from its images and the distributed tables."""

import sys

from ..common.data.image_store import ImageStore
from ..common.files import schemas
from ..common.files.arrow_tables import write_rows
from ..common.journal.tracking import track_job
from ..common.records import write_record
from .contract import LabelImagesJob
from .data_card import card_metrics, data_card, remainders
from .image_labels import label_images
from .label_split import follow_lists, with_splits, with_subsets
from .label_tables import present_label_files


def write_labels(job: LabelImagesJob) -> None:
    """Label and split the images of one data set, and warn about ids without a counterpart."""
    settings = job.settings
    with track_job(job, more=present_label_files(job.root, settings)) as run:
        images = ImageStore(job.images).table
        labels = label_images(images, job.root, settings, job.private)
        listed = follow_lists(labels, job.root, settings, job.private) if settings.split_lists else None
        rows = with_subsets(listed.rows, settings) if listed else with_splits(labels.rows, settings)
        pixels = dict(zip(images["image_id"].to_pylist(), images["pixels_sha256"].to_pylist(), strict=True))
        card = data_card(job.dataset, settings, labels, rows, pixels, listed)
        for line in labels.warnings:
            print(f"warning: {line}", file=sys.stderr)
        for line in remainders(card, settings.main_table(job.root), labels.table_rows):
            print(f"warning: {line}; see {job.card}", file=sys.stderr)
        write_rows(job.labels, schemas.LABELS, rows)
        write_record(job.card, card)
        run.log_metrics(card_metrics(card))
        run.log_tag("split_by", card.split_by)

"""Are the test images of a data set strangers to pre-training, training and validation? Once, for every evaluation.

Settings: contract.py. Inputs: labels.arrow, the table of duplicates, the pairs of pre-training, the manifests of both
data sets. Output: audit.json (with side-car). An overlap that is not allowed is an error, and no evaluation starts.
"""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

import polars as pl

from ..common.command_line import run_stage, stage_parser
from ..common.files.arrow_tables import read_table
from ..common.files.atomic_files import read_json, verify, write_record
from ..common.files.schemas import DUPLICATES, LABELS, PAIRS
from ..common.journal.tracking import track
from .contract import AuditSplitsSettings, audit_record
from .overlap import find_overlap, refuse_overlap


def main(arguments: Namespace) -> None:
    settings: AuditSplitsSettings = arguments.settings
    manifests = {"images": arguments.images, "pretrain_images": arguments.pretrain_images}
    inputs = {"labels": arguments.labels, "duplicates": arguments.duplicates, "pairs": arguments.pairs} | manifests
    with track("audit_splits", arguments.name, journal=arguments.journal, settings=settings, inputs=inputs,
               image=arguments.image) as run:  # fmt: skip
        labels, copies, pairs = (
            pl.from_arrow(read_table(path, schema))
            for path, schema in ((arguments.labels, LABELS), (arguments.duplicates, DUPLICATES),
                                 (arguments.pairs, PAIRS))
        )  # fmt: skip
        dataset, pretrain_on = arguments.dataset, arguments.pretrain_on
        overlap = find_overlap(labels, copies, pairs, dataset, pretrain_on, settings.same_patients)
        run.log_metrics({f"overlap/{kind}": count for kind, count in asdict(overlap).items()})
        if not settings.allow_overlap:
            refuse_overlap(overlap, arguments.labels, dataset)
        compared = {
            "images": len(labels),
            "patients_within": labels["patient_id"].null_count() == 0,
            "patients_with_pretraining": dataset == pretrain_on or settings.same_patients,
            # Whatever sizes they are stored at; not where JPEG 2000 was decoded at reduced size.
            "pictures_with_pretraining": all(_all_have_digests(path) for path in manifests.values()),
        }
        write_record(arguments.audit, audit_record(overlap, arguments.labels, compared))
        run.log_artifact(arguments.audit)


def _all_have_digests(manifest: Path) -> bool:
    verify(manifest)
    record = read_json(manifest)
    return record["pictures"] == record["images"]


def parser() -> ArgumentParser:
    options = stage_parser("audit_splits", __doc__, AuditSplitsSettings)
    options.add_argument("--labels", type=Path, required=True, help="labels.arrow of label_images")
    options.add_argument("--dataset", required=True, help="key of the labelled data set")
    options.add_argument("--images", type=Path, required=True, help="manifest.json of its images")
    options.add_argument("--duplicates", type=Path, required=True, help="duplicates.arrow of dicom_to_arrow")
    options.add_argument("--pretrain-on", required=True, help="key of the data set of the pairs")
    options.add_argument("--pretrain-images", type=Path, required=True, help="manifest.json of the pairs' images")
    options.add_argument("--pairs", type=Path, required=True, help="pairs.arrow of pair_images_reports")
    options.add_argument("--audit", type=Path, required=True, help="output: audit.json")
    return options


if __name__ == "__main__":
    run_stage(main, parser())

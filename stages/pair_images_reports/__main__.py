"""Pairs of image and report with a patient-level split, an audit of what leaks across splits, and a fingerprint.

Settings: patient_split, images_per_study, intensity_images, publish_samples (see contract.py).
Inputs:   --images (manifest.json of dicom_to_arrow), --sentences (SENTENCES), --files (FILES: the distributed split),
          --image-rejects and --report-rejects (REJECTS of dicom_to_arrow and split_reports, counted only).
Outputs:  --pairs (PAIRS), --rejects (REJECTS), --audit and --fingerprint (JSON with side-cars).
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..common.command_line import run_stage, stage_parser
from ..common.data.image_store import ImageStore
from ..common.files.arrow_tables import read_table, write_table
from ..common.files.atomic_files import write_record
from ..common.files.schemas import FILES, PAIRS, REJECTS, SENTENCES
from ..common.journal.tracking import track
from .contract import PairImagesReportsSettings
from .fingerprint import fingerprint, reject_counts
from .leakage_audit import audit, audit_metrics, refuse_shared_patients
from .pairing import (
    drop_duplicate_pixels,
    join_reports,
    keep_one_image,
    pair,
    read_images,
    read_sentences,
)

INPUTS = ("images", "sentences", "files", "image_rejects", "report_rejects")


def main(arguments: Namespace) -> None:
    settings: PairImagesReportsSettings = arguments.settings
    inputs = {name: getattr(arguments, name) for name in INPUTS}
    with track("pair_images_reports", arguments.name, journal=arguments.journal, settings=settings,
               inputs=inputs, image=arguments.image) as run:  # fmt: skip
        store = ImageStore(arguments.images)
        images = read_images(store, read_table(arguments.files, FILES), arguments.files)
        sentences = read_sentences(read_table(arguments.sentences, SENTENCES))
        reports = join_reports(sentences)
        before = pair(images, reports, settings.patient_split)
        refuse_shared_patients(before.pairs)
        after = drop_duplicate_pixels(before)
        if settings.images_per_study == "one":
            after = keep_one_image(after)
        audited = audit(images, reports, before, after, settings.patient_split)
        described = fingerprint(store, after.pairs, sentences, audited, settings)
        for path, schema, table in ((arguments.pairs, PAIRS, after.pairs), (arguments.rejects, REJECTS, after.rejects)):
            write_table(path, schema, table.select(schema.names).rechunk().to_arrow().cast(schema))
        rejects = {"dicom_to_arrow": arguments.image_rejects, "split_reports": arguments.report_rejects,
                   "pair_images_reports": arguments.rejects}  # fmt: skip
        described["rejects"] = reject_counts({stage: read_table(path, REJECTS) for stage, path in rejects.items()})
        for path, record in ((arguments.audit, audited), (arguments.fingerprint, described)):
            write_record(path, record)
        run.log_metrics(audit_metrics(audited))
        run.log_metrics({key: described["intensity"][key] for key in ("mean", "standard_deviation")})
        run.log_tag("pairs_digest", audited["pairs_digest"])
        for output in (arguments.pairs, arguments.rejects, arguments.audit, arguments.fingerprint):
            run.log_artifact(output)


def parser() -> ArgumentParser:
    stage = stage_parser("pair_images_reports", __doc__, PairImagesReportsSettings)
    stage.add_argument("--images", type=Path, required=True, help="manifest.json of the data set's images")
    stage.add_argument("--sentences", type=Path, required=True, help="Arrow table of split_reports")
    stage.add_argument("--files", type=Path, required=True, help="Arrow table of index_inputs")
    stage.add_argument("--image-rejects", type=Path, required=True, help="rejects.arrow of dicom_to_arrow")
    stage.add_argument("--report-rejects", type=Path, required=True, help="rejects.arrow of split_reports")
    stage.add_argument("--pairs", type=Path, required=True, help="output: Arrow table of pairs")
    stage.add_argument("--rejects", type=Path, required=True, help="output: Arrow table of what has no partner")
    stage.add_argument("--audit", type=Path, required=True, help="output: JSON record of counts and leakage")
    stage.add_argument("--fingerprint", type=Path, required=True, help="output: JSON description of the data set")
    return stage


if __name__ == "__main__":
    run_stage(main, parser())

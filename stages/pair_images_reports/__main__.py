"""Pairs of image and report with a patient-level split, an audit of what leaks across splits, and a fingerprint.

Settings: patient_split (see settings.py).
Inputs:   --images (manifest.json of dicom_to_arrow), --sentences (SENTENCES), --files (FILES: the distributed split).
Outputs:  --pairs (PAIRS), --rejects (REJECTS), --audit (JSON, with side-car).
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stages.common import schemas
from stages.common.arrow_tables import read_table, write_table
from stages.common.atomic_files import write_json, write_sidecar
from stages.common.command_line import run_stage, stage_parser
from stages.common.image_store import ImageStore
from stages.common.tracking import track
from stages.pair_images_reports.leakage_audit import audit, audit_metrics, refuse_shared_patients
from stages.pair_images_reports.paired_inputs import read_images, read_reports
from stages.pair_images_reports.pairing import drop_duplicate_pixels, pair
from stages.pair_images_reports.settings import PairImagesReportsSettings


def main(arguments: Namespace) -> None:
    inputs = {"images": arguments.images, "sentences": arguments.sentences, "files": arguments.files}
    with track("pair_images_reports", arguments.name, journal=arguments.journal, settings=arguments.settings,
               inputs=inputs, image=arguments.image) as run:  # fmt: skip
        images = read_images(ImageStore(arguments.images), read_table(arguments.files, schemas.FILES), arguments.files)
        reports = read_reports(read_table(arguments.sentences, schemas.SENTENCES))
        before = pair(images, reports, arguments.settings.patient_split)
        refuse_shared_patients(before.pairs)
        after = drop_duplicate_pixels(before, images["dataset"][0])
        record = audit(images, reports, before, after)
        for path, schema, table in ((arguments.pairs, schemas.PAIRS, after.pairs),
                                    (arguments.rejects, schemas.REJECTS, after.rejects)):  # fmt: skip
            write_table(path, schema, table.select(schema.names).rechunk().to_arrow().cast(schema))
        write_json(arguments.audit, record)
        write_sidecar(arguments.audit)
        run.log_metrics(audit_metrics(record))
        run.log_tag("fingerprint", record["fingerprint"])
        for output in (arguments.pairs, arguments.rejects, arguments.audit):
            run.log_artifact(output)


def parser() -> ArgumentParser:
    stage = stage_parser("pair_images_reports", __doc__, PairImagesReportsSettings)
    stage.add_argument("--images", type=Path, required=True, help="manifest.json of the data set's images")
    stage.add_argument("--sentences", type=Path, required=True, help="Arrow table of split_reports")
    stage.add_argument("--files", type=Path, required=True, help="Arrow table of index_inputs")
    stage.add_argument("--pairs", type=Path, required=True, help="output: Arrow table of pairs")
    stage.add_argument("--rejects", type=Path, required=True, help="output: Arrow table of what has no partner")
    stage.add_argument("--audit", type=Path, required=True, help="output: JSON record of counts and leakage")
    return stage


if __name__ == "__main__":
    run_stage(main, parser())

"""The distribution's own index as a table of files and a table of reports; what is missing is named.

Settings: layout, shards, identifiers, table, columns, patients (see contract.py).
Inputs:   --root with the index files of the layout (layouts.py) and the image files that they name.
Outputs:  --files (FILES), --reports (REPORTS; no rows where there are none), and in --private, where identifiers are
          keyed, the key, <dataset>.csv with the way back, and the paths and report texts, which both tables then lack.
"""

import re
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..common.command_line import run_stage, stage_parser
from ..common.data.private_sources import hide
from ..common.errors import InputError
from ..common.files.arrow_tables import write_table
from ..common.journal.tracking import track
from .contract import IndexInputsSettings
from .index import build_index, files_table, missing_files, present_index_files, reports_table


def main(arguments: Namespace) -> None:
    root, settings = arguments.root, arguments.settings
    if not re.fullmatch(r"[A-Za-z0-9_.-]*[A-Za-z0-9_-]", arguments.dataset):
        raise InputError(f"--dataset {arguments.dataset!r}: use letters, digits, '_', '-' and '.' alone")
    inputs = present_index_files(root, settings)
    with track("index_inputs", arguments.name, journal=arguments.journal, settings=settings,
               inputs=inputs, image=arguments.image) as run:  # fmt: skip
        index = build_index(root, settings, arguments.dataset, arguments.private)
        missing, looked_for = missing_files(root, index.files)
        if len(missing):
            # Paths of one's own data may hold names of people: where ids are keyed, only these are printed.
            named = missing["image_id" if settings.identifier_kind == "keyed" else "path"].head(3)
            print(f"warning: {len(missing)} of {looked_for} files looked for are missing in {root}, first "
                  f"{', '.join(named)}; dicom_to_arrow rejects each as file_missing", file=sys.stderr)  # fmt: skip
        tables = {arguments.files: files_table(index, arguments.dataset, settings.shards),
                  arguments.reports: reports_table(index)}  # fmt: skip
        for path, table in tables.items():
            if settings.identifier_kind == "keyed":
                table = hide(table, arguments.private, f"{arguments.dataset}_{path.name}")
            write_table(path, table.schema, table)
        counts = {"images": len(index.files), "reports": len(index.reports),
                  "patients": index.files["patient_id"].drop_nulls().n_unique(),
                  "files_with_checksum": len(index.files) - index.files["sha256"].null_count(),
                  "files_looked_for": looked_for, "files_missing": len(missing)}  # fmt: skip
        run.log_metrics({key: float(count) for key, count in (counts | index.counts).items()})
        for key, value in index.tags.items():
            run.log_tag(key, value)
        for output in (arguments.files, arguments.reports):
            run.log_artifact(output)


def parser() -> ArgumentParser:
    stage = stage_parser("index_inputs", __doc__, IndexInputsSettings)
    stage.add_argument("--root", type=Path, required=True, help="folder of the data set, as distributed")
    stage.add_argument("--dataset", required=True, help="name of the data set in config.yaml")
    stage.add_argument("--files", type=Path, required=True, help="output: Arrow table of files")
    stage.add_argument("--reports", type=Path, required=True, help="output: Arrow table of reports")
    stage.add_argument("--private", type=Path, help="folder of the key and the map back; needed for keyed identifiers")
    return stage


if __name__ == "__main__":
    run_stage(main, parser())

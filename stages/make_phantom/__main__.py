"""Draw synthetic chest radiographs with truth, in the on-disk formats of MIMIC-CXR, RSNA and SIIM.

Inputs: none.
Outputs, under --output DIR:
  mimic_cxr/  DICOM and report trees, cxr-record-list.csv.gz, cxr-study-list.csv.gz, SHA256SUMS.txt
  rsna/       stage_2_train_images/, stage_2_train_labels.csv, stage_2_detailed_class_info.csv
  siim/       dicom-images-train/, train-rle.csv
              rsna/ and siim/ also hold lung_masks.csv and patients.csv, which the real data sets lack
  truth/      mimic_cxr.json, rsna.json, siim.json: findings with side, zone, size and box; lung masks; bad inputs
  manifest.json, written last: counts, prevalences, digest of the settings, digest of the tree
Settings: see contract.py. Same seed and settings, same bytes, whatever the number of workers.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..common.command_line import run_stage, stage_parser
from ..common.journal.tracking import track
from .contract import MakePhantomSettings
from .phantom import make_phantom


def main(arguments: Namespace) -> None:
    with track(
        "make_phantom",
        arguments.name,
        journal=arguments.journal,
        settings=arguments.settings,
        inputs={},
        image=arguments.image,
    ) as run:
        manifest = make_phantom(arguments.settings, arguments.output)
        for dataset, counts in manifest["datasets"].items():
            run.log_metric(f"{dataset}/images", counts["images"])
            run.log_metric(f"{dataset}/patients", counts["patients"])
            for finding, share in counts["prevalence"].items():
                run.log_metric(f"{dataset}/prevalence/{finding}", share)
        run.log_metric("reports", manifest["reports"])
        run.log_tag("tree_digest", manifest["tree_digest"])
        run.log_artifact(arguments.output / "manifest.json")


def parser() -> ArgumentParser:
    options = stage_parser("make_phantom", __doc__, MakePhantomSettings)
    options.add_argument("--output", type=Path, required=True, help="folder to write; new, or an earlier phantom's")
    return options


if __name__ == "__main__":
    run_stage(main, parser())

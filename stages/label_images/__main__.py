"""Labels of one data set and finding: target, boxes, masks; splits and nested subsets, hashed in a card.

Settings: contract.py.
Inputs:   --root with the label tables as distributed, --images (manifest.json of dicom_to_arrow), --private with the
          key where identifiers are keyed.
Outputs:  --labels (LABELS), --card (JSON, with side-car).
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..common.command_line import run_stage, stage_parser
from ..common.data.image_store import ImageStore
from ..common.files import schemas
from ..common.files.arrow_tables import write_rows
from ..common.files.atomic_files import write_record
from ..common.journal.tracking import track
from .contract import LabelImagesSettings
from .data_card import card_metrics, data_card, remainders
from .image_labels import label_images
from .label_split import follow_lists, with_splits, with_subsets
from .label_tables import present_label_files


def main(arguments: Namespace) -> None:
    settings = arguments.settings
    inputs = present_label_files(arguments.root, settings) | {"images": arguments.images}
    with track("label_images", arguments.name, journal=arguments.journal, settings=settings,
               inputs=inputs, image=arguments.image) as run:  # fmt: skip
        images = ImageStore(arguments.images).table
        labels = label_images(images, arguments.root, settings, arguments.private)
        listed = settings.split_lists and follow_lists(labels, arguments.root, settings, arguments.private)
        rows = with_subsets(listed.rows, settings) if listed else with_splits(labels.rows, settings)
        pixels = dict(zip(images["image_id"].to_pylist(), images["pixels_sha256"].to_pylist(), strict=True))
        card = data_card(arguments.dataset, settings, labels, rows, pixels, listed)
        for line in remainders(card):
            print(f"warning: {line}; see {arguments.card}", file=sys.stderr)
        write_rows(arguments.labels, schemas.LABELS, rows)
        write_record(arguments.card, card)
        run.log_metrics(card_metrics(card))
        run.log_tag("split_by", card["split_by"])
        for output in (arguments.labels, arguments.card):
            run.log_artifact(output)


def parser() -> ArgumentParser:
    stage = stage_parser("label_images", __doc__, LabelImagesSettings)
    stage.add_argument("--root", type=Path, required=True, help="folder of the data set, as distributed")
    stage.add_argument("--dataset", required=True, help="name of the data set in config.yaml")
    stage.add_argument("--images", type=Path, required=True, help="manifest.json of the data set's images")
    stage.add_argument("--labels", type=Path, required=True, help="output: Arrow table of labels")
    stage.add_argument("--card", type=Path, required=True, help="output: JSON card of the data set")
    stage.add_argument("--private", type=Path, help="folder of the key of index_inputs; needed for keyed identifiers")
    return stage


if __name__ == "__main__":
    run_stage(main, parser())

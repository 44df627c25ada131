"""Find the report of an image and the image of a report, among all test pairs of pre-training.

Settings: contract.py. Inputs: a checkpoint folder, pairs, sentences, the images' manifest. Outputs: result.json, and
ranks.arrow (where the first hit of every query stands, for paired tests). A hit is any image or report of the same
study, or of a study whose report has the same text. A test part without pairs is no error: the result says so.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..common.command_line import run_stage, stage_parser
from ..common.data.image_store import ImageStore
from ..common.device import add_device_option, choose_device
from ..common.encoders.dual import load_checkpoint
from ..common.files.arrow_tables import write_rows
from ..common.files.atomic_files import write_record
from ..common.files.schemas import RANKS
from ..common.journal.tracking import track
from .contract import RetrievalSettings
from .embedded_pairs import embed_pairs, read_test_pairs
from .evaluation import Ranked, rank, retrieval_record


def main(arguments: Namespace) -> None:
    settings: RetrievalSettings = arguments.settings
    inputs = {"checkpoint": arguments.checkpoint / "model.safetensors", "pairs": arguments.pairs,
              "sentences": arguments.sentences, "images": arguments.images}  # fmt: skip
    with track("retrieval", arguments.name, journal=arguments.journal, settings=settings, inputs=inputs,
               image=arguments.image) as run:  # fmt: skip
        checkpoint = load_checkpoint(arguments.checkpoint, choose_device(arguments.device))
        reports = read_test_pairs(arguments.pairs, arguments.sentences, checkpoint.model)
        result: dict = {"split": "test", "skipped": None}
        directions: dict[str, Ranked] = {}
        if reports is None:
            result["skipped"] = "no pair is in the test part; raise `patient_split.test`"
            run.log_tag("skipped", result["skipped"])
        else:
            pairs = embed_pairs(checkpoint, reports, ImageStore(arguments.images), settings.batch_size)
            directions = rank(pairs, settings)
            result |= retrieval_record(pairs, directions, settings)
            for direction in directions:
                figures = {f"recall_at_{k}": each for k, each in result[direction]["recall"].items()}
                figures |= {"median_rank": result[direction]["median_rank"]}
                run.log_metrics({f"test/{direction}/{name}": each["value"] for name, each in figures.items()})
        write_rows(arguments.ranks, RANKS, [row for name, each in directions.items() for row in each.rows(name)])
        write_record(arguments.result, result)
        run.log_artifact(arguments.ranks)
        run.log_artifact(arguments.result, publish=True)


def parser() -> ArgumentParser:
    options = stage_parser("retrieval", __doc__, RetrievalSettings)
    options.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder of select_checkpoint")
    options.add_argument("--pairs", type=Path, required=True, help="pairs.arrow of pair_images_reports")
    options.add_argument("--sentences", type=Path, required=True, help="sentences.arrow of split_reports")
    options.add_argument("--images", type=Path, required=True, help="manifest.json of dicom_to_arrow")
    options.add_argument("--result", type=Path, required=True, help="output: result.json")
    options.add_argument("--ranks", type=Path, required=True, help="output: ranks.arrow")
    add_device_option(options)
    return options


if __name__ == "__main__":
    run_stage(main, parser())

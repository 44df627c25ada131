"""A pre-trained encoder of the Hugging Face hub -> a local folder, because compute nodes have no network.

Settings: id. Inputs: none but the hub. Outputs, in --folder: weights.json (id, revision, license, sha256 and bytes),
model.safetensors, config.json and, where the model has them, tokenizer and model card.
A folder that is whole is left alone; files put there by hand, and the hub cache of this machine, are used.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..common.command_line import run_stage, stage_parser
from ..common.encoders.weight_files import RECORD
from ..common.journal.tracking import track
from .contract import FetchWeightsSettings
from .fetch import fetch


def main(arguments: Namespace) -> None:
    with track("fetch_weights", arguments.name, journal=arguments.journal, settings=arguments.settings, inputs={},
               image=arguments.image) as run:  # fmt: skip
        record = fetch(arguments.settings.id, arguments.folder)
        run.log_tag("revision", record["revision"] or "unknown")
        run.log_tag("license", record["license"])
        run.log_metric("bytes", sum(file["bytes"] for file in record["files"].values()))
        run.log_artifact(arguments.folder / RECORD)


def parser() -> ArgumentParser:
    options = stage_parser("fetch_weights", __doc__, FetchWeightsSettings)
    options.add_argument("--folder", type=Path, required=True, help="folder to fill; weights.json in it comes last")
    return options


if __name__ == "__main__":
    run_stage(main, parser())

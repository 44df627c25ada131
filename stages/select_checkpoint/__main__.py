"""Choose the best candidate of one variant on validation data alone and export it.

Settings: contract.py. Inputs: candidates.json of pretrain, pairs, sentences, the images' manifest, the tokenizer; where
`zero_shot_on` names a data set, its images, labels and prompts, too. Outputs: a checkpoint folder (export.py) with phi
as files of its own (integrity_files.py), the same as an MLflow model (mlflow_model.py), selection.json: every
candidate's scores, the rule, the choice and why.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..common.command_line import run_stage, stage_parser
from ..common.device import add_device_option
from ..common.journal.tracking import track
from .contract import SelectCheckpointSettings
from .mlflow_model import export_model
from .selection import label_inputs, select


def main(arguments: Namespace) -> None:
    inputs = {"candidates": arguments.candidates, "pairs": arguments.pairs, "sentences": arguments.sentences,
              "images": arguments.images}  # fmt: skip
    inputs |= label_inputs(arguments)
    with track("select_checkpoint", arguments.name, journal=arguments.journal, settings=arguments.settings,
               inputs=inputs, image=arguments.image) as run:  # fmt: skip
        select(arguments, run)
        run.log_artifact(arguments.selection, publish=True)
        run.log_artifact(arguments.checkpoint / "model.safetensors")
        run.log_artifact(arguments.checkpoint / "README.md", publish=True)
        export_model(arguments.model, arguments.checkpoint, arguments.selection, arguments.images)
        run.log_artifact(arguments.model / "MLmodel")


def parser() -> ArgumentParser:
    options = stage_parser("select_checkpoint", __doc__, SelectCheckpointSettings)
    options.add_argument("--candidates", type=Path, required=True, help="candidates.json of pretrain")
    options.add_argument("--pairs", type=Path, required=True, help="pairs.arrow of pair_images_reports")
    options.add_argument("--sentences", type=Path, required=True, help="sentences.arrow of split_reports")
    options.add_argument("--images", type=Path, required=True, help="manifest.json of dicom_to_arrow")
    options.add_argument("--tokenizer", type=Path, required=True, help="tokenizer folder of split_reports")
    options.add_argument("--zero-shot-images", type=Path, help="of the data set zero_shot_on: manifest.json")
    options.add_argument("--zero-shot-labels", type=Path, help="labels.arrow of label_images; validation rows are used")
    options.add_argument("--zero-shot-prompts", type=Path, help="prompt file")
    options.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder to write")
    options.add_argument("--model", type=Path, required=True, help="folder of the MLflow model to write")
    options.add_argument("--selection", type=Path, required=True, help="selection.json to write")
    add_device_option(options)
    return options


if __name__ == "__main__":
    run_stage(main, parser())

"""Zero-shot classification of one data set with one variant.

Settings: contract.py. Inputs: a checkpoint folder, features.arrow, labels.arrow and its audit.json, a prompt file;
for the local score the images' manifest in place of features.arrow.
Outputs: scores.arrow (every labelled image, chosen prompt set) and result.json (test metrics with 95 % intervals).
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import polars as pl
import pyarrow as pa
from pydantic_core import to_jsonable_python

from ..audit_splits.contract import read_overlap
from ..common.command_line import run_stage, stage_parser
from ..common.data.labelled_images import read_labels
from ..common.data.prompts import read_prompts
from ..common.device import add_device_option, choose_device
from ..common.encoders.dual import load_checkpoint
from ..common.errors import InputError
from ..common.files.arrow_tables import write_table
from ..common.files.atomic_files import write_record
from ..common.files.code_digest import ROOT
from ..common.files.schemas import SCORES
from ..common.journal.tracking import track
from .contract import ZeroShotSettings
from .evaluation import evaluate
from .scores import scores_of


def main(arguments: Namespace) -> None:
    settings: ZeroShotSettings = arguments.settings
    prompt_path = ROOT / settings.prompts
    read = "images" if settings.score == "local" else "features"
    if getattr(arguments, read) is None:
        raise InputError(f"zero_shot_classification.score is {settings.score}: name --{read}")
    inputs = {"checkpoint": arguments.checkpoint / "model.safetensors", read: getattr(arguments, read),
              "labels": arguments.labels, "audit": arguments.audit, "prompts": prompt_path}  # fmt: skip
    prompts = read_prompts(prompt_path, denying=True)
    with track("zero_shot_classification", arguments.name, journal=arguments.journal, settings=settings,
               inputs=inputs, image=arguments.image) as run:  # fmt: skip
        checkpoint = load_checkpoint(arguments.checkpoint, choose_device(arguments.device))
        labels = read_labels(arguments.labels, prompts.finding)
        overlap = read_overlap(arguments.audit, arguments.labels)
        scores = scores_of(checkpoint, prompts.expanded(), labels, inputs[read], settings)
        result = evaluate(labels, scores, settings.draws, settings.seed, arguments.labels)
        chosen = labels.select("image_id", "patient_id", "split", "target", score=pl.Series(scores[result.prompt_set]))
        write_table(arguments.scores, SCORES, pa.Table.from_pylist(chosen.to_dicts(), schema=SCORES))
        record = {"finding": prompts.finding, "score": settings.score, **to_jsonable_python(result), "overlap": overlap}
        write_record(arguments.result, record)
        run.log_metrics({f"test/{name}": each.value for name, each in result.metrics.items()})
        run.log_metrics({f"validation/auc/{name}": each for name, each in result.validation_auc.items()})
        run.log_metrics({f"test/auc_if_fixed/{name}": each.value for name, each in result.test_auc.items()})
        run.log_tag("prompt_set", result.prompt_set)
        run.log_artifact(arguments.scores)
        run.log_artifact(arguments.result, publish=True)


def parser() -> ArgumentParser:
    options = stage_parser("zero_shot_classification", __doc__, ZeroShotSettings)
    files = {"checkpoint": "checkpoint folder of select_checkpoint", "labels": "labels.arrow of label_images",
             "audit": "audit.json of audit_splits", "scores": "scores.arrow to write",
             "result": "result.json to write"}  # fmt: skip
    for name, purpose in files.items():
        options.add_argument(f"--{name}", type=Path, required=True, help=purpose)
    options.add_argument("--features", type=Path, help="features.arrow of extract_features; for the global score")
    options.add_argument("--images", type=Path, nargs="?", help="manifest.json of dicom_to_arrow; for the local score")
    add_device_option(options)
    return options


if __name__ == "__main__":
    run_stage(main, parser())

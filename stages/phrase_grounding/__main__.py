"""Point at a finding with prompts, on one data set with one variant, and describe the integrity map.

Settings: contract.py. Inputs: a checkpoint folder, the images' manifest, labels.arrow and its audit.json, a prompt
file. Outputs: result.json (pointing game beside its baselines, integrity map) and samples.arrow (empty unless
`publish_samples`).
"""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

import torch

from ..audit_splits.contract import read_overlap
from ..common.command_line import run_stage, stage_parser
from ..common.data.image_store import ImageStore
from ..common.data.labelled_images import read_labels
from ..common.data.prompts import read_prompts
from ..common.encoders.dual import load_checkpoint
from ..common.files.arrow_tables import write_rows
from ..common.files.atomic_files import write_record
from ..common.files.code_digest import ROOT
from ..common.files.schemas import GROUNDING_VALUES, samples
from ..common.journal.tracking import track
from .contract import PhraseGroundingSettings
from .evaluation import Grounding, grounding_record, sample_rows, value_rows
from .heatmaps import describe
from .located_images import locate


def main(arguments: Namespace) -> None:
    settings: PhraseGroundingSettings = arguments.settings
    prompt_path = ROOT / settings.prompts
    inputs = {"checkpoint": arguments.checkpoint / "model.safetensors", "images": arguments.images,
              "labels": arguments.labels, "audit": arguments.audit, "prompts": prompt_path}  # fmt: skip
    prompts = read_prompts(prompt_path)
    with track("phrase_grounding", arguments.name, journal=arguments.journal, settings=settings, inputs=inputs,
               image=arguments.image) as run:  # fmt: skip
        checkpoint = load_checkpoint(arguments.checkpoint, torch.device("cpu"))
        labels, store = read_labels(arguments.labels, prompts.finding), ImageStore(arguments.images)
        parts = {part: locate(labels, store, part, arguments.labels) for part in ("train", "validation", "test")}
        overlap = read_overlap(arguments.audit, arguments.labels)
        grounding = Grounding(checkpoint, prompts, parts)
        sets = {name: grounding.of(name, settings.draws, settings.seed) for name in prompts.sets}
        run.log_metrics({f"test/{measure}/{name}": figures["heatmap"].value
                         for name, each in sets.items() for measure, figures in each.figures.items()})  # fmt: skip
        write_rows(arguments.values, GROUNDING_VALUES, [row for name in sets for row in value_rows(name, sets[name])])
        first = next(iter(sets.values()))  # the set that may be shown
        shown = sample_rows(first, settings.samples, settings.seed) if settings.publish_samples else []
        write_rows(arguments.samples, samples(store.size), shown)
        integrity_map = checkpoint.integrity_map
        result = grounding_record(prompts.finding, sets) | {"overlap": overlap, "integrity_map": None}
        result["located"] = {part: located.counts() for part, located in parts.items()}
        if integrity_map is not None:
            result["integrity_map"] = asdict(describe(integrity_map, parts["train"].lungs))
        write_record(arguments.result, result)
        run.log_artifact(arguments.values)
        run.log_artifact(arguments.result, publish=True)


def parser() -> ArgumentParser:
    options = stage_parser("phrase_grounding", __doc__, PhraseGroundingSettings)
    files = {"checkpoint": "checkpoint folder of select_checkpoint", "images": "manifest.json of dicom_to_arrow",
             "labels": "labels.arrow of label_images", "audit": "audit.json of audit_splits",
             "result": "output: result.json", "values": "output: values.arrow",
             "samples": "output: samples.arrow"}  # fmt: skip
    for name, purpose in files.items():
        options.add_argument(f"--{name}", type=Path, required=True, help=purpose)
    return options


if __name__ == "__main__":
    run_stage(main, parser())

"""Point at a finding with prompts, on one data set with one variant, and describe the integrity map.

Settings: settings.py. Inputs: a checkpoint folder, the images' manifest, labels.arrow and its audit.json, a prompt
file. Outputs: result.json (pointing game beside its baselines, integrity map) and samples.arrow (empty unless
`publish_samples`).
"""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

import torch

from stages.common.arrow_tables import write_rows
from stages.common.atomic_files import write_record
from stages.common.code_digest import ROOT
from stages.common.command_line import run_stage, stage_parser
from stages.common.dual_encoder import load_checkpoint
from stages.common.image_store import ImageStore
from stages.common.labelled_images import read_labels
from stages.common.prompts import read_prompts
from stages.common.schemas import samples
from stages.common.split_audit import read_overlap
from stages.common.tracking import track
from stages.phrase_grounding.evaluation import heatmaps_of, locate, pointing_game, sample_rows
from stages.phrase_grounding.integrity_map import describe
from stages.phrase_grounding.settings import PhraseGroundingSettings


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
        test, training = locate(labels, store, "test"), locate(labels, store, "train")
        result: dict = {"finding": prompts.finding, "images": len(test.pixels), "pointing": {}, "integrity_map": None,
                        "overlap": read_overlap(arguments.audit, arguments.labels)}  # fmt: skip
        for name, each in prompts.expanded().items():
            heatmaps = heatmaps_of(checkpoint, each.positive, test)
            game = pointing_game(heatmaps, test, training, settings.draws, settings.seed)
            result["pointing"][name] = {kind: None if hit is None else hit.record() for kind, hit in game.items()}
            run.log_metric(f"test/pointing/{name}", game["heatmap"].value)
        if checkpoint.integrity_map is not None:
            result["integrity_map"] = asdict(describe(checkpoint.integrity_map, training.lungs))
        shown = sample_rows(heatmaps, test, settings.samples, settings.seed) if settings.publish_samples else []
        write_rows(arguments.samples, samples(store.size), shown)
        write_record(arguments.result, result)
        run.log_artifact(arguments.result, publish=True)


def parser() -> ArgumentParser:
    options = stage_parser("phrase_grounding", __doc__, PhraseGroundingSettings)
    options.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder of select_checkpoint")
    options.add_argument("--images", type=Path, required=True, help="manifest.json of dicom_to_arrow")
    options.add_argument("--labels", type=Path, required=True, help="labels.arrow of label_images")
    options.add_argument("--audit", type=Path, required=True, help="audit.json of audit_splits")
    options.add_argument("--result", type=Path, required=True, help="result.json to write")
    options.add_argument("--samples", type=Path, required=True, help="samples.arrow to write")
    return options


if __name__ == "__main__":
    run_stage(main, parser())

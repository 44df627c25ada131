"""Choose the best candidate of one variant on validation pairs alone and export it.

Settings: settings.py. Inputs: candidates.json of pretrain, pairs, sentences, the images' manifest, the tokenizer.
Outputs: a checkpoint folder (model.safetensors, config.json, tokenizer/) and selection.json with every score.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from safetensors.torch import load_file

from stages.common.atomic_files import read_json, verify, write_record
from stages.common.command_line import run_stage, stage_parser
from stages.common.device import add_device_option, choose_device
from stages.common.dual_encoder import save_checkpoint
from stages.common.image_store import ImageStore
from stages.common.paired_reports import PairedReports, read_pairs
from stages.common.report_batches import SpecialTokens, load_tokenizer
from stages.common.tracking import track
from stages.select_checkpoint.candidate_scores import ValidationPairs, best, score_candidates
from stages.select_checkpoint.settings import SelectCheckpointSettings


def main(arguments: Namespace) -> None:
    settings: SelectCheckpointSettings = arguments.settings
    inputs = {"candidates": arguments.candidates, "pairs": arguments.pairs, "sentences": arguments.sentences,
              "images": arguments.images}  # fmt: skip
    with track("select_checkpoint", arguments.name, journal=arguments.journal, settings=settings, inputs=inputs,
               image=arguments.image) as run:  # fmt: skip
        verify(arguments.candidates)
        record = read_json(arguments.candidates)
        text = record["encoder"]["model"]["text"]
        reports = read_pairs(
            arguments.pairs, arguments.sentences, "validation", text["max_tokens"], text["max_sentences"]
        )
        reports = PairedReports(reports.studies[: settings.max_pairs], reports.sentences_left_out)
        special = SpecialTokens.of(load_tokenizer(arguments.tokenizer))
        pairs = ValidationPairs(reports, ImageStore(arguments.images), special, settings.batch_size)
        device = choose_device(arguments.device)
        scored = score_candidates(arguments.candidates, record, pairs, device)
        for candidate in scored:
            run.log_metric("validation/mean_reciprocal_rank", candidate.mean_reciprocal_rank, candidate.step)
        chosen = best(scored)
        run.log_metrics({"chosen/step": chosen.step, "validation/studies": len(pairs.studies)})
        save_checkpoint(arguments.checkpoint, load_file(chosen.path), record["encoder"], arguments.tokenizer)
        ranking = {str(candidate.step): candidate.mean_reciprocal_rank for candidate in scored}
        write_record(
            arguments.selection,
            {"criterion": "mean reciprocal rank of validation pairs, both directions", "split": "validation",
             "studies": len(pairs.studies), "candidates": ranking, "chosen_step": chosen.step},
        )  # fmt: skip
        run.log_artifact(arguments.selection, publish=True)
        run.log_artifact(arguments.checkpoint / "model.safetensors")


def parser() -> ArgumentParser:
    options = stage_parser("select_checkpoint", __doc__, SelectCheckpointSettings)
    options.add_argument("--candidates", type=Path, required=True, help="candidates.json of pretrain")
    options.add_argument("--pairs", type=Path, required=True, help="pairs.arrow of pair_images_reports")
    options.add_argument("--sentences", type=Path, required=True, help="sentences.arrow of split_reports")
    options.add_argument("--images", type=Path, required=True, help="manifest.json of dicom_to_arrow")
    options.add_argument("--tokenizer", type=Path, required=True, help="tokenizer folder of split_reports")
    options.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder to write")
    options.add_argument("--selection", type=Path, required=True, help="selection.json to write")
    add_device_option(options)
    return options


if __name__ == "__main__":
    run_stage(main, parser())

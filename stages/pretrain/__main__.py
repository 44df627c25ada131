"""Pre-train one variant with the objective of MLIP.

Settings: settings.py. Inputs: pairs and sentences, the images' manifest, the tokenizer. Outputs: a folder of
weights-only candidates, an index of them (candidates.json) and the learning curve (CSV). Training state is kept in
`--state`, in a folder named by the digest of settings, data, code and image: the same digest resumes.
"""

import shutil
from argparse import ArgumentParser, Namespace
from pathlib import Path

from stages.common.command_line import run_stage, stage_parser
from stages.common.dual_encoder import checkpoint_record
from stages.common.image_store import ImageStore
from stages.common.paired_reports import read_pairs
from stages.common.report_batches import SpecialTokens, load_tokenizer
from stages.common.tracking import track
from stages.pretrain.batches import TrainingData
from stages.pretrain.candidates import write_candidates, write_curve
from stages.pretrain.settings import PretrainSettings
from stages.pretrain.training import Place, build, train


def main(arguments: Namespace) -> None:
    settings: PretrainSettings = arguments.settings
    inputs = {
        "pairs": arguments.pairs,
        "sentences": arguments.sentences,
        "images": arguments.images,
        "tokenizer": arguments.tokenizer / "tokenizer.json",
    }
    with track("pretrain", arguments.name, journal=arguments.journal, settings=settings, inputs=inputs,
               image=arguments.image) as run:  # fmt: skip
        place = Place(arguments.state / run.digest[:16], arguments.save_minutes * 60)
        run.log_tag("state", place.state.name)
        tokenizer = load_tokenizer(arguments.tokenizer)
        text = settings.model.text
        reports = read_pairs(arguments.pairs, arguments.sentences, "train", text.max_tokens, text.max_sentences)
        data = TrainingData(settings, ImageStore(arguments.images), reports, SpecialTokens.of(tokenizer))
        run.log_metrics({"data/studies": len(reports.studies), "data/sentences_left_out": reports.sentences_left_out})
        model = build(settings, tokenizer.get_vocab_size())
        state = train(model, data, settings, place, run.log_metrics)
        write_candidates(arguments.candidates, place.state, state.step, settings, checkpoint_record(model.encoder))
        write_curve(arguments.curve, state.history)
        run.log_artifact(arguments.candidates)
        run.log_artifact(arguments.curve, publish=True)
    shutil.rmtree(place.state)  # the outputs are whole: the state has served


def parser() -> ArgumentParser:
    options = stage_parser("pretrain", __doc__, PretrainSettings)
    options.add_argument("--pairs", type=Path, required=True, help="pairs.arrow of pair_images_reports")
    options.add_argument("--sentences", type=Path, required=True, help="sentences.arrow of split_reports")
    options.add_argument("--images", type=Path, required=True, help="manifest.json of dicom_to_arrow")
    options.add_argument("--tokenizer", type=Path, required=True, help="tokenizer folder of split_reports")
    options.add_argument("--state", type=Path, required=True, help="folder for resumable training states")
    options.add_argument("--save-minutes", type=float, default=10, help="time between two saves of the state")
    options.add_argument("--candidates", type=Path, required=True, help="candidates.json to write")
    options.add_argument("--curve", type=Path, required=True, help="learning curve (CSV) to write")
    return options


if __name__ == "__main__":
    run_stage(main, parser())

"""Pre-train one variant with the objective of MLIP.

Settings: settings.py. Inputs: pairs and sentences, the images' manifest, the tokenizer, the data set's fingerprint
(normalisation), and the pre-trained weights that settings name (local files: nothing is downloaded). Outputs: a folder
of weights-only candidates, an index of them (candidates.json) and the learning curve (CSV). Training state is kept in
`--state`, in a folder named by the digest of settings, data, code and image: the same digest resumes.
"""

import shutil
from argparse import ArgumentParser, Namespace
from pathlib import Path

from stages.common.command_line import run_stage, stage_parser
from stages.common.device import add_device_option, choose_device
from stages.common.dual_encoder import checkpoint_record
from stages.common.image_store import ImageStore
from stages.common.paired_reports import read_pairs
from stages.common.report_batches import SpecialTokens, load_tokenizer
from stages.common.tracking import Run, track
from stages.pretrain.batches import TrainingData
from stages.pretrain.candidates import write_candidates, write_curve
from stages.pretrain.normalisation import with_normalisation
from stages.pretrain.rank_failure import failures_recorded
from stages.pretrain.ranks import Ranks, connect, start_ranks
from stages.pretrain.settings import PretrainSettings
from stages.pretrain.starting_weights import StartingWeights
from stages.pretrain.training import Place, build, train


def main(arguments: Namespace) -> None:
    start_ranks("stages.pretrain", arguments.processes)
    settings: PretrainSettings = arguments.settings
    start = StartingWeights(arguments.image_weights, arguments.text_weights)
    with connect(arguments.device) as ranks:
        if not ranks.first:
            pretrain(arguments, start, ranks, None)
            return
        inputs = {
            "pairs": arguments.pairs,
            "sentences": arguments.sentences,
            "images": arguments.images,
            "tokenizer": arguments.tokenizer / "tokenizer.json",
            "fingerprint": arguments.fingerprint,
            **start.inputs(settings.model),
        }
        with track("pretrain", arguments.name, journal=arguments.journal, settings=settings, inputs=inputs,
                   image=arguments.image) as run, failures_recorded(ranks.store, run):  # fmt: skip
            folder = pretrain(arguments, start, ranks, run)
        shutil.rmtree(folder)  # the outputs are whole: the state has served


def pretrain(arguments: Namespace, start: StartingWeights, ranks: Ranks, run: Run | None) -> Path:
    """Train and write the outputs; returns the state's folder. `run` is the journal, on rank 0 alone."""
    digest = ranks.from_first(run.digest if run else None)
    place = Place(arguments.state / digest[:16], arguments.save_minutes * 60, choose_device(arguments.device))
    tokenizer = load_tokenizer(arguments.tokenizer)
    settings = with_normalisation(arguments.settings, arguments.fingerprint)
    text, image = settings.model.text, settings.model.image
    reports = read_pairs(arguments.pairs, arguments.sentences, "train", text.max_tokens, text.max_sentences)
    data = TrainingData(settings, ImageStore(arguments.images), reports, SpecialTokens.of(tokenizer), ranks)
    model = build(settings, tokenizer.get_vocab_size(), start.text_configuration())
    if run is None:
        train(model, data, settings, place, lambda *_: None, ranks)
        return place.state
    run.log_tag("state", place.state.name)
    run.log_tag("processes", str(ranks.world))
    run.log_metrics({"data/studies": len(reports.studies), "data/sentences_left_out": reports.sentences_left_out,
                     "normalisation/mean": image.mean,
                     "normalisation/standard_deviation": image.standard_deviation})  # fmt: skip
    start.load(model.encoder, run)
    state = train(model, data, settings, place, run.log_metrics, ranks)
    write_candidates(arguments.candidates, place.state, state.step, settings, checkpoint_record(model.encoder))
    write_curve(arguments.curve, state.history)
    run.log_artifact(arguments.candidates)
    run.log_artifact(arguments.curve, publish=True)
    return place.state


def parser() -> ArgumentParser:
    options = stage_parser("pretrain", __doc__, PretrainSettings)
    options.add_argument("--pairs", type=Path, required=True, help="pairs.arrow of pair_images_reports")
    options.add_argument("--sentences", type=Path, required=True, help="sentences.arrow of split_reports")
    options.add_argument("--images", type=Path, required=True, help="manifest.json of dicom_to_arrow")
    options.add_argument("--tokenizer", type=Path, required=True, help="tokenizer folder of split_reports")
    for encoder in ("image", "text"):
        options.add_argument(
            f"--{encoder}-weights", type=Path, help=f"what model.{encoder}.weights names: file or folder"
        )
    options.add_argument("--fingerprint", type=Path, required=True, help="fingerprint.json of pair_images_reports")
    options.add_argument("--state", type=Path, required=True, help="folder for resumable training states")
    options.add_argument("--save-minutes", type=float, default=10, help="time between two saves of the state")
    options.add_argument("--candidates", type=Path, required=True, help="candidates.json to write")
    options.add_argument("--curve", type=Path, required=True, help="learning curve (CSV) to write")
    options.add_argument("--processes", type=int, default=1, help="one a GPU; more than one: started by torchrun")
    add_device_option(options)
    return options


if __name__ == "__main__":
    run_stage(main, parser())

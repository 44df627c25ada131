"""Pre-train one variant with the objective of MLIP.

Settings: contract.py. Inputs: pairs and sentences, the images' manifest, the tokenizer, the data set's fingerprint
(normalisation), and the pre-trained weights that settings name (local files: nothing is downloaded). Outputs: a folder
of weights-only candidates, an index of them (candidates.json) and the learning curve (CSV). Training state is kept in
`--state`, in a folder named by the digest of settings, data, code and image: the same digest resumes. It stays until a
workflow has ended well (stages/common/training/served_states.py).
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..common.command_line import run_stage, stage_parser
from ..common.device import add_device_option
from ..common.journal.tracking import track
from .contract import PretrainSettings
from .rank_failure import failures_recorded
from .ranks import connect, start_ranks
from .training import pretrain
from .weights import StartingWeights


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
        } | ({"resume_from": Path(settings.resume_from)} if settings.resume_from else {})
        with track("pretrain", arguments.name, journal=arguments.journal, settings=settings, inputs=inputs,
                   image=arguments.image) as run, failures_recorded(ranks.store, run):  # fmt: skip
            pretrain(arguments, start, ranks, run)


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
    options.add_argument("--profile", type=int, default=0, metavar="N", help="write the profile of N steps (profile/)")
    options.add_argument("--processes", type=int, default=1, help="one a GPU; more than one: started by torchrun")
    add_device_option(options)
    return options


if __name__ == "__main__":
    run_stage(main, parser())

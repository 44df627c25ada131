"""Options of the command line, apart from what all stages have."""

from argparse import ArgumentParser
from pathlib import Path

from ..common.few_shot.options import Main, add_training_options, protocols_parser
from .contract import FinetuneJobSettings, LinearJobSettings


def command_parser(description: str | None, linear: Main, finetune: Main) -> ArgumentParser:
    """Parser of `python -m stages.few_shot_classification`; `main` of its result is the function of the protocol."""
    protocols: list[tuple[Main, type, str]] = [
        (linear, LinearJobSettings, "a linear classifier on cached features"),
        (finetune, FinetuneJobSettings, "all weights of the image encoder"),
    ]
    parser, parsers = protocols_parser("few_shot_classification", description, protocols)
    for protocol in parsers:
        protocol.add_argument("--scores", type=Path, required=True, help="output: folder of scores, a table a seed")
    probe, training = parsers
    probe.add_argument("--features", type=Path, required=True, help="features.arrow of extract_features")
    add_training_options(training)
    return parser

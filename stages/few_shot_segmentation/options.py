"""Options of the command line, apart from what all stages have."""

from argparse import ArgumentParser
from pathlib import Path

from ..common.few_shot.options import Main, add_training_options, protocols_parser
from .contract import FinetuneJobSettings, LinearJobSettings


def command_parser(description: str | None, linear: Main, finetune: Main) -> ArgumentParser:
    """Parser of `python -m stages.few_shot_segmentation`; `main` of its result is the function of the protocol."""
    protocols: list[tuple[Main, type, str]] = [
        (linear, LinearJobSettings, "a SETR-PUP decoder on the frozen encoder"),
        (finetune, FinetuneJobSettings, "UPerNet and all weights of the encoder"),
    ]
    parser, parsers = protocols_parser("few_shot_segmentation", description, protocols)
    for protocol in parsers:
        add_training_options(protocol)
        protocol.add_argument("--overlaps", type=Path, required=True, help="output: folder of counts, a table a seed")
        protocol.add_argument("--samples", type=Path, required=True, help="output: samples.arrow")
    return parser

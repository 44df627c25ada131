"""Options of the command line, apart from what all stages have."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path

from stages.common.command_line import add_common_options
from stages.common.device import add_device_option
from stages.few_shot_classification.settings import FinetuneJobSettings, LinearJobSettings

Main = Callable[[Namespace], None]


def command_parser(description: str | None, linear: Main, finetune: Main) -> ArgumentParser:
    """Parser of `python -m stages.few_shot_classification`; `main` of its result is the function of the protocol."""
    stage = ArgumentParser(
        prog="python -m stages.few_shot_classification",
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
    )
    protocols = stage.add_subparsers(required=True, metavar="{linear,finetune}")
    for main, settings, purpose in (
        (linear, LinearJobSettings, "a linear classifier on cached features"),
        (finetune, FinetuneJobSettings, "all weights of the image encoder"),
    ):
        protocol = protocols.add_parser(main.__name__, help=purpose, description=purpose)
        add_common_options(protocol, settings)
        protocol.set_defaults(main=main, protocol=main.__name__)
        protocol.add_argument("--labels", type=Path, required=True, help="labels.arrow of label_images")
        protocol.add_argument("--audit", type=Path, required=True, help="audit.json of audit_splits")
        protocol.add_argument("--result", type=Path, required=True, help="output: result.json")
        protocol.add_argument("--scores", type=Path, required=True, help="output: folder of scores, a table a seed")
    probe, training = protocols.choices.values()
    probe.add_argument("--features", type=Path, required=True, help="features.arrow of extract_features")
    training.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder of select_checkpoint")
    training.add_argument("--images", type=Path, required=True, help="manifest.json of dicom_to_arrow")
    training.add_argument("--state", type=Path, required=True, help="folder of what a killed job goes on from")
    training.add_argument("--save-minutes", type=float, default=10.0, help="time between two saves of the state")
    add_device_option(training)
    return stage

"""The command line that few-shot stages share: a subcommand a protocol, with the files that every protocol reads."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path

from ..command_line import add_common_options
from ..device import add_device_option
from ..settings import Settings

Main = Callable[[Namespace], None]


def protocols_parser(
    stage: str, description: str | None, protocols: list[tuple[Main, type[Settings], str]]
) -> tuple[ArgumentParser, list[ArgumentParser]]:
    """Parser of `python -m stages.<stage>` and those of its protocols, named as their functions, in the order given.

    Of a protocol: its function, the settings of one job, its purpose in words. `main` of the result is the function.
    """
    parser = ArgumentParser(
        prog=f"python -m stages.{stage}", description=description, formatter_class=RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(
        required=True, metavar="{" + ",".join(main.__name__ for main, _, _ in protocols) + "}"
    )
    for main, settings, purpose in protocols:
        protocol = commands.add_parser(main.__name__, help=purpose, description=purpose)
        add_common_options(protocol, settings)
        protocol.set_defaults(main=main, protocol=main.__name__)
        protocol.add_argument("--labels", type=Path, required=True, help="labels.arrow of label_images")
        protocol.add_argument("--audit", type=Path, required=True, help="audit.json of audit_splits")
        protocol.add_argument("--result", type=Path, required=True, help="output: result.json")
    return parser, list(commands.choices.values())


def add_training_options(protocol: ArgumentParser) -> None:
    """What a protocol that runs the encoder reads, where it computes, and from where a killed job goes on."""
    protocol.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder of select_checkpoint")
    protocol.add_argument("--images", type=Path, required=True, help="manifest.json of dicom_to_arrow")
    protocol.add_argument("--state", type=Path, required=True, help="folder of what a killed job goes on from")
    protocol.add_argument("--save-minutes", type=float, default=10.0, help="time between two saves of the state")
    add_device_option(protocol)

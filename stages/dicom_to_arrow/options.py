"""Options of the command line, apart from what all stages have."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from ..common.command_line import add_common_options
from .contract import DicomToArrowSettings

Main = Callable[[Namespace], None]


def command_parser(description: str, convert: Main, gather: Main, duplicates: Main) -> ArgumentParser:
    """Parser of `python -m stages.dicom_to_arrow`; `main` of its result is the function of the command."""
    stage = ArgumentParser(prog="python -m stages.dicom_to_arrow", description=description)
    commands = stage.add_subparsers(required=True, metavar="{convert,gather,duplicates}")
    for main, purpose in ((convert, "convert one shard"), (gather, "verify all shards and write the manifest"),
                          (duplicates, "find copies of images within and across data sets")):  # fmt: skip
        command = commands.add_parser(main.__name__, help=purpose, description=purpose)
        add_common_options(command, DicomToArrowSettings)
        command.set_defaults(main=main)
    one, every, copies = commands.choices.values()
    for command in (one, every):
        command.add_argument("--files", type=Path, required=True, help="files.arrow of index_inputs")
        command.add_argument("--rejects", type=Path, required=True, help="output: Arrow table of rejects")
    one.add_argument("--root", type=Path, required=True, help="folder of the data set, as distributed")
    one.add_argument("--private", type=Path, help="folder of the key; needed where identifiers are keyed")
    one.add_argument("--shard", type=int, required=True, help="number of the shard, from 0")
    one.add_argument("--state", type=Path, required=True, help="folder for what a killed job has done")
    one.add_argument("--images", type=Path, required=True, help="output: Arrow shard of images")
    one.add_argument("--workers", type=int, default=1, help="processes; the result is the same for any number")
    every.add_argument("--shard-images", type=Path, nargs="+", required=True, help="images of shards 0, 1, ...")
    every.add_argument("--shard-rejects", type=Path, nargs="+", required=True, help="rejects of shards 0, 1, ...")
    every.add_argument("--manifest", type=Path, required=True, help="output: manifest.json")
    copies.add_argument("--manifests", type=Path, nargs="+", required=True, help="manifest.json of each data set")
    copies.add_argument("--duplicates", type=Path, required=True, help="output: Arrow table of duplicates")
    return stage

"""Radiographs (DICOM of any transfer syntax, JPEG, PNG) to grey squares in Arrow shards, and rejects with reasons.

Settings: size, modalities, views, views_missing, body_parts, max_pixels, max_file_bytes, max_seconds (settings.py).
convert   one shard of the index. Inputs: --root, --files, --shard. Outputs: --images, --rejects.
gather    all shards. Inputs: --files, --shard-images, --shard-rejects (shard 0 first). Outputs: --manifest, --rejects.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stages.common.command_line import add_common_options, run_stage
from stages.common.tracking import track
from stages.dicom_to_arrow.convert import convert_shard
from stages.dicom_to_arrow.gather import gather_shards
from stages.dicom_to_arrow.settings import DicomToArrowSettings as Settings

STAGE = "dicom_to_arrow"


def convert(arguments: Namespace) -> None:
    with track(STAGE, arguments.name, journal=arguments.journal, settings=arguments.settings,
               inputs={"files": arguments.files}, image=arguments.image) as run:  # fmt: skip
        run.log_metrics(convert_shard(arguments.root, arguments.files, arguments.shard, arguments.images,
                                      arguments.rejects, arguments.settings, arguments.workers).metrics())  # fmt: skip
        for output in (arguments.images, arguments.rejects):
            run.log_artifact(output)


def gather(arguments: Namespace) -> None:
    paths = [*arguments.shard_images, *arguments.shard_rejects]
    inputs = {"files": arguments.files} | {f"shard_{number:05d}": path for number, path in enumerate(paths)}
    with track(STAGE, arguments.name, journal=arguments.journal, settings=arguments.settings,
               inputs=inputs, image=arguments.image) as run:  # fmt: skip
        run.log_metrics(gather_shards(arguments.files, arguments.shard_images, arguments.shard_rejects,
                                      arguments.manifest, arguments.rejects, arguments.settings))  # fmt: skip
        for output in (arguments.manifest, arguments.rejects):
            run.log_artifact(output)


def parser() -> ArgumentParser:
    stage = ArgumentParser(prog=f"python -m stages.{STAGE}", description=(__doc__ or "").partition("\n")[0])
    commands = stage.add_subparsers(required=True, metavar="{convert,gather}")
    for main, purpose in ((convert, "convert one shard"), (gather, "verify all shards and write the manifest")):
        add_common_options(command := commands.add_parser(main.__name__, help=purpose, description=purpose), Settings)
        command.set_defaults(main=main)
        command.add_argument("--files", type=Path, required=True, help="files.arrow of index_inputs")
        command.add_argument("--rejects", type=Path, required=True, help="output: Arrow table of rejects")
    one, every = commands.choices.values()
    one.add_argument("--root", type=Path, required=True, help="folder of the data set, as distributed")
    one.add_argument("--shard", type=int, required=True, help="number of the shard, from 0")
    one.add_argument("--images", type=Path, required=True, help="output: Arrow shard of images")
    one.add_argument("--workers", type=int, default=1, help="processes; the result is the same for any number")
    every.add_argument("--shard-images", type=Path, nargs="+", required=True, help="images of shards 0, 1, ...")
    every.add_argument("--shard-rejects", type=Path, nargs="+", required=True, help="rejects of shards 0, 1, ...")
    every.add_argument("--manifest", type=Path, required=True, help="output: manifest.json")
    return stage


if __name__ == "__main__":
    run_stage(lambda arguments: arguments.main(arguments), parser())

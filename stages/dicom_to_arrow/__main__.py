"""Radiographs (DICOM of any transfer syntax, JPEG, PNG) to grey squares in Arrow shards, and rejects with reasons.

Settings: what goes in, how large it comes out, and what one file may cost (contract.py).
convert     one shard. Inputs: --root, --files, --shard, and --private where identifiers are keyed. Outputs: --images,
            --rejects. --state keeps the outcomes so far by the digest of settings, data, code and image: with the same
            digest a job goes on where it was killed.
gather      all shards. Inputs: --files, --shard-images, --shard-rejects, shard 0 first. Outputs: --manifest, --rejects.
duplicates  all data sets. Input: --manifests. Output: --duplicates (DUPLICATES), within and across the data sets.
"""

import shutil
from argparse import ArgumentParser, Namespace

from ..common.command_line import run_stage
from ..common.files import schemas
from ..common.files.arrow_tables import write_table
from ..common.journal.tracking import track
from .convert import ShardJob, convert_shard
from .gather import find_duplicates, gather_shards
from .options import command_parser

STAGE = "dicom_to_arrow"


def parser() -> ArgumentParser:
    return command_parser((__doc__ or "").partition("\n")[0], convert, gather, duplicates)


def convert(arguments: Namespace) -> None:
    with track(STAGE, arguments.name, journal=arguments.journal, settings=arguments.settings,
               inputs={"files": arguments.files}, image=arguments.image) as run:  # fmt: skip
        log = arguments.state / f"shard_{arguments.shard:05d}" / run.digest[:16] / "outcomes.log"
        job = ShardJob(arguments.root, arguments.files, arguments.shard, arguments.images, arguments.rejects, log,
                       arguments.private, arguments.workers)  # fmt: skip
        run.log_metrics(convert_shard(job, arguments.settings).metrics())
        for output in (arguments.images, arguments.rejects):
            run.log_artifact(output)
    shutil.rmtree(log.parents[1])  # the outputs are whole: the log has served


def gather(arguments: Namespace) -> None:
    paths = [*arguments.shard_images, *arguments.shard_rejects]
    inputs = {"files": arguments.files} | {f"shard_{number:05d}": path for number, path in enumerate(paths)}
    with track(STAGE, arguments.name, journal=arguments.journal, settings=arguments.settings,
               inputs=inputs, image=arguments.image) as run:  # fmt: skip
        run.log_metrics(gather_shards(arguments.files, arguments.shard_images, arguments.shard_rejects,
                                      arguments.manifest, arguments.rejects, arguments.settings))  # fmt: skip
        for output in (arguments.manifest, arguments.rejects):
            run.log_artifact(output)


def duplicates(arguments: Namespace) -> None:
    inputs = {f"manifest_{number}": path for number, path in enumerate(arguments.manifests)}
    with track(STAGE, arguments.name, journal=arguments.journal, settings=arguments.settings,
               inputs=inputs, image=arguments.image) as run:  # fmt: skip
        table, counts = find_duplicates(arguments.manifests)
        write_table(arguments.duplicates, schemas.DUPLICATES, table)
        run.log_metrics(counts)
        run.log_artifact(arguments.duplicates)


if __name__ == "__main__":
    run_stage(lambda arguments: arguments.main(arguments), parser())

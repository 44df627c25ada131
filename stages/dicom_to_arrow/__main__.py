"""Convert radiographs to grey squares in Arrow shards, and list rejects. Inputs, outputs, settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import ConvertJob, DuplicatesJob, GatherJob


def convert(job: ConvertJob) -> None:
    from .convert import convert_to_end  # decoders, which --help does not need

    convert_to_end(job)


def gather(job: GatherJob) -> None:
    from .gather import gather

    gather(job)


def duplicates(job: DuplicatesJob) -> None:
    from .gather import list_duplicates

    list_duplicates(job)


WORK: Work = {ConvertJob: convert, GatherJob: gather, DuplicatesJob: duplicates}

if __name__ == "__main__":
    run_stage(WORK)
